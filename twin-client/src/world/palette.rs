//! The colours of the clay park, in one place: neutral by default, saturated only where colour means something.

use bevy::prelude::*;

/// An sRGB hex colour as linear.
pub const fn hex(rgb: u32) -> Srgba {
    Srgba {
        red: ((rgb >> 16) & 0xff) as f32 / 255.0,
        green: ((rgb >> 8) & 0xff) as f32 / 255.0,
        blue: (rgb & 0xff) as f32 / 255.0,
        alpha: 1.0,
    }
}

/// A named colour of the park.
#[derive(Debug, Clone, Copy)]
pub struct Tone(Srgba);

impl Tone {
    pub fn linear(self) -> LinearRgba {
        self.0.into()
    }
    /// The same colour darker (below 1) or lighter (above).
    pub fn shade(self, factor: f32) -> LinearRgba {
        let c = self.linear();
        LinearRgba::new(c.red * factor, c.green * factor, c.blue * factor, c.alpha)
    }
    pub fn with_alpha(self, alpha: f32) -> LinearRgba {
        LinearRgba { alpha, ..self.linear() }
    }
    pub fn colour(self) -> Color {
        Color::Srgba(self.0)
    }
}

macro_rules! tones {
    ($($(#[$doc:meta])* $name:ident = $hex:literal;)*) => {
        $($(#[$doc])* pub const $name: Tone = Tone(hex($hex));)*
    };
}

tones! {
    /// Land around the park.
    SURROUNDINGS = 0xBBC3AF;
    GROUND = 0xC6C3BB;
    ROAD = 0xA9A8A5;
    ROAD_MARK = 0xDCDAD4;
    KERB = 0xC3C0B9;
    GREEN = 0xAEBB99;
    PAVED = 0xCAC6BD;
    PARKING = 0xB5B3AF;
    WATER = 0x8FAEBB;

    WALL_FACTORY = 0xEAE7E0;
    WALL_WAREHOUSE = 0xDAD7D0;
    WALL_OFFICE = 0xF3F0EA;
    WALL_DATA = 0xD3D4D5;
    WALL_HOME = 0xE9E2D6;
    WALL_ENERGY = 0xD5D8D3;
    ROOF = 0xD6D3CC;
    SLAB = 0xC9C5BD;
    LOUVRE = 0xA8ABAC;
    DOOR = 0x8B8F92;
    GLASS = 0x7F97A6;

    PV_CELL = 0x1D3050;
    PV_FRAME = 0xAEB8C2;
    STEEL = 0xB9BDC0;
    STEEL_DARK = 0x6F767B;
    MACHINE = 0xDFE1E0;
    MACHINE_GREEN = 0x9FB0A4;
    CONCRETE = 0xC2BFB8;
    TYRE = 0x35383B;
    CAR_GLASS = 0x3E4A54;
    CAR_WHITE = 0xE8E8E6;
    CAR_SILVER = 0xAEB3B8;
    CAR_GRAPHITE = 0x565C63;
    CAR_BLUE = 0x5B7C99;
    TRUNK = 0x8A7763;
    LEAF_DARK = 0x6F8560;
    LEAF_LIGHT = 0x9FB283;
    STACK_BAND = 0xB65A49;

    /// Power: what charges, discharges, flows. The dashboards use the same hues.
    SOLAR = 0xE8A33D;
    WIND = 0x58A6B8;
    GRID = 0x8C7BC6;
    STORAGE = 0x3FB68B;
    CHARGING = 0x4C8BE0;
    LOAD = 0xC9CDD2;
    SELECTION = 0xFFC845;
    ALARM_CRITICAL = 0xE5484D;
    ALARM_MAJOR = 0xF0803C;
    ALARM_WARNING = 0xE7B93A;
    OFFLINE = 0x7B8086;
}
