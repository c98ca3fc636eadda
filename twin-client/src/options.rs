//! The command line.

use crate::net::Credentials;
use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use shared::{text::Language, time::Timestamp};
use std::{fs, path::PathBuf};

/// The park in 3D with dashboards.
#[derive(Parser, Debug, Clone)]
#[command(name = "twin-client", version)]
pub struct Options {
    /// Address of the park's server.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub server: String,
    /// User to log in as; the password comes from --password-file or PARK_PASSWORD.
    #[arg(long, env = "PARK_USER", value_name = "NAME")]
    pub user: Option<String>,
    /// File that holds the password.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    #[arg(env = "PARK_PASSWORD", hide = true, hide_env_values = true, long)]
    pub password: Option<String>,
    /// File that holds an access or view-only token, used instead of a user.
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    pub token_file: Option<PathBuf>,
    #[arg(env = "PARK_TOKEN", hide = true, hide_env_values = true, long)]
    pub token: Option<String>,
    /// Language at the start.
    #[arg(long, value_enum, default_value = "zh-CN")]
    pub lang: Lang,
    /// For a wall: full screen, larger, always moving, without a pointer.
    #[arg(long, conflicts_with = "headless")]
    pub wall: bool,
    /// No window: render off-screen, for --screenshot or --bench-frames.
    #[arg(long)]
    pub headless: bool,
    /// Save the live park as a PNG once everything is there, and end.
    #[arg(long, value_name = "FILE", requires = "headless")]
    pub screenshot: Option<PathBuf>,
    /// Show the sun of this time (RFC 3339) instead of now's.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub at: Option<Timestamp>,
    /// Size of the window or picture.
    #[arg(long, default_value = "1600x900", value_name = "WxH", value_parser = parse_size)]
    pub size: Size,
    /// Open this panel at the start.
    #[arg(long, value_enum, value_name = "PANEL")]
    pub show: Option<Show>,
    /// Headless: give up after this long.
    #[arg(long = "for", default_value_t = 120, value_name = "SECONDS")]
    pub for_s: u64,
    /// Headless: measure this many frames once everything is there and print their times as JSON.
    #[arg(long, value_name = "N", requires = "headless")]
    pub bench_frames: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    #[value(name = "zh-CN")]
    Chinese,
    #[value(name = "en")]
    English,
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Language {
        match lang {
            Lang::Chinese => Language::Chinese,
            Lang::English => Language::English,
        }
    }
}

/// A panel that is not open by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Show {
    /// How good the data are.
    Quality,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

fn parse_size(text: &str) -> Result<Size, String> {
    let read = |part: &str| part.parse::<u32>().ok().filter(|n| (320..=8_192).contains(n));
    text.split_once('x')
        .and_then(|(w, h)| Some(Size { width: read(w)?, height: read(h)? }))
        .ok_or_else(|| format!("{text:?} is not WIDTHxHEIGHT with 320 to 8192 each, such as 1600x900"))
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|e| e.to_string())
}

impl Options {
    /// Reads the credentials from where the options say; none at all means asking the person.
    pub fn credentials(&self) -> Result<Credentials> {
        let read = |path: &PathBuf| {
            fs::read_to_string(path)
                .map(|text| text.trim().to_owned())
                .with_context(|| format!("cannot read {}", path.display()))
        };
        if let Some(path) = &self.token_file {
            return Ok(Credentials::Token(read(path)?));
        }
        if let Some(name) = self.user.clone() {
            let password = match (&self.password_file, &self.password) {
                (Some(path), _) => read(path)?,
                (None, Some(password)) => password.clone(),
                (None, None) => bail!("--user needs --password-file or PARK_PASSWORD"),
            };
            return Ok(Credentials::User { name, password });
        }
        Ok(self.token.clone().map_or(Credentials::None, Credentials::Token))
    }

    /// The server's address without a trailing slash; anything but http(s) is refused.
    pub fn server_url(&self) -> Result<String> {
        let url = self.server.trim_end_matches('/');
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            bail!("--server {:?} must begin with http:// or https://", self.server);
        }
        Ok(url.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from(std::iter::once("twin-client").chain(args.iter().copied()))
    }

    #[test]
    fn sizes_and_times_are_checked() {
        let options = parse(&["--size", "1920x1080", "--at", "2026-06-21T12:00:00+08:00"]).unwrap();
        assert_eq!(options.size, Size { width: 1920, height: 1080 });
        assert_eq!(options.at.unwrap().0, 1_782_014_400_000);
        for bad in [["--size", "1920"], ["--size", "10x10"], ["--at", "noon"], ["--lang", "fr"]] {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_user_without_a_password_and_a_server_without_scheme_are_refused() {
        let options = Options { password: None, ..parse(&["--user", "admin"]).unwrap() };
        assert!(options.credentials().err().unwrap().to_string().contains("--password-file"));
        assert!(parse(&["--server", "park:8080"]).unwrap().server_url().is_err());
        assert_eq!(parse(&["--server", "http://park/"]).unwrap().server_url().unwrap(), "http://park");
    }
}
