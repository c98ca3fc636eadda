//! The command line.

use clap::Parser;
use std::path::PathBuf;

/// Simulates every device of a scene over MQTT.
///
/// Each device has its own connection (user name = device id, password = its secret), reports what its equation says, obeys
/// set-points and refuses impossible ones. Without a set-point storage rests, cars charge at once, PV and wind feed in what there is.
#[derive(Debug, Clone, Parser)]
#[command(name = "park-fleet", version)]
pub struct Options {
    /// The park's folder
    #[arg(long, value_name = "DIR", default_value = "scenes/wujiang-park")]
    pub scene: PathBuf,
    /// The thing models' folder [default: `models` beside the scene]
    #[arg(long, value_name = "DIR")]
    pub models: Option<PathBuf>,
    /// The MQTT endpoint
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883")]
    pub mqtt: String,
    /// The server's address; when given, the fleet waits until its /readyz answers
    #[arg(long, value_name = "URL")]
    pub http: Option<String>,
    /// The devices' secrets, a JSON object {deviceId: secret}; the server writes it at its first start
    #[arg(long, value_name = "FILE", default_value = "var/fleet-secrets.json")]
    pub secrets: PathBuf,
    /// Where the fleet remembers states of charge, registers and the last moment it reported
    #[arg(long, value_name = "FILE", default_value = "var/fleet-state.json")]
    pub state: PathBuf,
    /// Seconds between reports of devices with power; the others report at least 5 s apart
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = positive)]
    pub rate: f64,
    /// Days of history to send before going live, as far as it is missing; 0 sends none
    #[arg(long, value_name = "DAYS", default_value_t = 14)]
    pub backfill: u32,
    /// Seconds between reports of the history
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub backfill_step: u32,
    /// Share of minutes in which a device stays silent, 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    pub drop_outs: f64,
    /// Share of five-minute spells in which a device repeats its last values, 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    pub stuck: f64,
    /// Share of reports in which one value is far off, 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    pub spikes: f64,
    /// Each device's clock is wrong by up to this, either way
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = not_negative)]
    pub clock_skew: f64,
    /// All devices drop their connections at once, this often
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    pub reconnect_storm: Option<f64>,
    /// Mean number of device events (warnings, notices) an hour over the whole park
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = not_negative)]
    pub events_per_hour: f64,
    /// Another number, another cloud and another noise
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Stop by itself after this long
    #[arg(long = "for", value_name = "SECONDS")]
    pub for_seconds: Option<u64>,
}

fn number(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|value| value.is_finite())
        .ok_or_else(|| format!("{text:?} is not a number"))
}

fn share(text: &str) -> Result<f64, String> {
    number(text).and_then(|value| {
        if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(format!("{value} is not within 0…1")) }
    })
}

fn positive(text: &str) -> Result<f64, String> {
    number(text).and_then(|value| {
        if (0.05..=86_400.0).contains(&value) {
            Ok(value)
        } else {
            Err(format!("{value} is not within 0.05…86400"))
        }
    })
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text).and_then(|value| if value >= 0.0 { Ok(value) } else { Err(format!("{value} is negative")) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed_and_refuses_nonsense() {
        Options::command().debug_assert();
        assert!(Options::try_parse_from(["park-fleet"]).is_ok());
        for bad in [
            ["park-fleet", "--drop-outs", "1.5"],
            ["park-fleet", "--rate", "0"],
            ["park-fleet", "--rate", "soon"],
            ["park-fleet", "--clock-skew", "-1"],
            ["park-fleet", "--backfill-step", "0"],
        ] {
            assert!(Options::try_parse_from(bad).is_err(), "{bad:?}");
        }
    }
}
