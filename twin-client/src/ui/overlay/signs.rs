//! Signs of landmarks: a small drawing of the kind and a figure. They mark a place, they are not its size.

use super::{View, sum};
use crate::{
    model::ParkModel,
    ui::{format, theme},
    world::landmarks::{Kind, Landmark},
};
use egui::{Color32, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, pos2};

/// What a sign shows of its landmark.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sign {
    /// State of charge, 0 to 1.
    Storage(Option<f32>),
    Chargers,
    Turbine,
    Stack,
}

impl Sign {
    pub(super) fn of(landmark: &Landmark, model: &ParkModel) -> Self {
        match landmark.kind {
            Kind::Storage => Sign::Storage(charge(landmark, model)),
            Kind::Chargers => Sign::Chargers,
            Kind::Turbine => Sign::Turbine,
            Kind::Stack => Sign::Stack,
        }
    }

    /// Draws it around a point, about 14 by 14.
    pub(super) fn draw(self, painter: &Painter, at: Pos2) {
        let p = |x: f32, y: f32| pos2(at.x + x, at.y + y);
        let ink = Stroke::new(1.3, theme::TEXT);
        match self {
            Sign::Storage(charge) => {
                let case = Rect::from_min_max(p(-7.0, -4.0), p(5.0, 4.0));
                painter.rect_stroke(case, 1.0, ink, StrokeKind::Middle);
                painter.rect_filled(Rect::from_min_max(p(5.5, -1.8), p(7.5, 1.8)), 0.0, theme::TEXT);
                let mut level = case.shrink(1.6);
                level.set_width(level.width() * charge.unwrap_or(0.0));
                painter.rect_filled(level, 0.0, theme::colour(theme::STORAGE));
            }
            Sign::Chargers => {
                let bolt =
                    [p(1.5, -7.0), p(-4.0, 1.0), p(-0.5, 1.0), p(-1.5, 7.0), p(4.0, -1.5), p(0.5, -1.5)];
                // Two convex halves: the outline as a whole is not.
                let colour = theme::colour(theme::CHARGING);
                painter.add(Shape::convex_polygon(
                    vec![bolt[0], bolt[1], bolt[2], bolt[5]],
                    colour,
                    Stroke::NONE,
                ));
                painter.add(Shape::convex_polygon(
                    vec![bolt[2], bolt[3], bolt[4], bolt[5]],
                    colour,
                    Stroke::NONE,
                ));
            }
            Sign::Turbine => {
                let colour = theme::colour(theme::WIND);
                painter.line_segment([p(0.0, -1.5), p(0.0, 7.0)], ink);
                for angle in [-90.0_f32, 30.0, 150.0] {
                    let (sin, cos) = angle.to_radians().sin_cos();
                    painter.line_segment(
                        [p(0.0, -1.5), p(cos * 6.0, -1.5 + sin * 6.0)],
                        Stroke::new(2.0, colour),
                    );
                }
                painter.circle_filled(p(0.0, -1.5), 1.4, theme::TEXT);
            }
            Sign::Stack => {
                painter.add(Shape::convex_polygon(
                    vec![p(-1.6, -2.5), p(1.6, -2.5), p(2.8, 7.0), p(-2.8, 7.0)],
                    theme::TEXT,
                    Stroke::NONE,
                ));
                let smoke = Color32::from_gray(170);
                painter.circle_filled(p(1.0, -4.6), 1.7, smoke);
                painter.circle_filled(p(4.0, -5.8), 2.2, smoke);
            }
        }
    }
}

/// Mean state of charge of those that say it, 0 to 1.
fn charge(landmark: &Landmark, model: &ParkModel) -> Option<f32> {
    let says: Vec<f64> =
        landmark.devices.iter().filter_map(|d| model.value(*d, "soc").map(|v| v.value)).collect();
    (!says.is_empty()).then(|| (says.iter().sum::<f64>() / says.len() as f64 / 100.0).clamp(0.0, 1.0) as f32)
}

/// The kind's name and its one figure.
pub(super) fn text(landmark: &Landmark, view: &View) -> String {
    let power = |sign: f64| {
        sum(view, &landmark.devices, "power").map(|kw| {
            let (value, unit) = format::power(kw * sign);
            format!("{value} {unit}")
        })
    };
    let count = landmark.devices.len();
    let (name, figure) = match landmark.kind {
        Kind::Storage => {
            ("sign-storage", charge(landmark, view.model).map(|share| format!("{:.0} %", share * 100.0)))
        }
        Kind::Chargers => ("sign-chargers", power(1.0)),
        Kind::Turbine => ("sign-turbine", power(-1.0)),
        Kind::Stack => ("sign-stack", None),
    };
    let mut text = view.i18n.t(name).into_owned();
    if count > 1 {
        text.push_str(&format!(" ×{count}"));
    }
    if let Some(figure) = figure {
        text.push_str(&format!("  {figure}"));
    }
    text
}
