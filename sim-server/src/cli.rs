//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

/// The zero-carbon park server.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    /// What to log, such as `info` or `info,gateway=debug`.
    #[arg(long, env = "PARK_LOG", default_value = "info,sqlx=warn", global = true)]
    pub(crate) log: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the park.
    Serve(Box<ServeArgs>),
    /// Makes a consistent copy, also while the server runs.
    Backup(BackupArgs),
    /// Brings a copy back into an empty data folder.
    Restore(RestoreArgs),
    /// Looks after stored telemetry; a server that runs on it does the work itself when asked.
    History {
        #[command(subcommand)]
        command: HistoryCommand,
    },
    /// Looks at scenes.
    Scene {
        #[command(subcommand)]
        command: SceneCommand,
    },
    /// Simulates the park.
    Study {
        #[command(subcommand)]
        command: StudyCommand,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// What this process does: everything, a gateway's part, or all but that. See docs/sizing.md.
    #[arg(long, env = "PARK_ROLES", value_enum, default_value_t = Roles::All)]
    pub(crate) roles: Roles,
    /// A gateway's own name, the same at every start: the broker keeps what it has not acknowledged under it.
    #[arg(long, env = "PARK_NAME")]
    pub(crate) name: Option<String>,
    /// Takes a gateway out of service for good: it takes what the broker still keeps under its name, ends its session there and stops.
    #[arg(long, requires = "name")]
    pub(crate) leave: bool,
    /// The park: a folder with park.toml, devices.toml and the rest. A gateway needs none.
    #[arg(long, env = "PARK_SCENE")]
    pub(crate) scene: Option<PathBuf>,
    /// Thing models; the folder `models` beside the scene when absent.
    #[arg(long, env = "PARK_MODELS")]
    pub(crate) models: Option<PathBuf>,
    /// Where everything is kept.
    #[arg(long, env = "PARK_DATA", default_value = "var")]
    pub(crate) data: PathBuf,
    /// Address of REST and the client stream.
    #[arg(long, env = "PARK_HTTP", default_value = "127.0.0.1:8080")]
    pub(crate) http: SocketAddr,
    /// Address of the devices' MQTT endpoint.
    #[arg(long, env = "PARK_MQTT", default_value = "127.0.0.1:1883")]
    pub(crate) mqtt: SocketAddr,
    /// Address of the same endpoint under TLS; needs `--tls-cert` and `--tls-key`.
    #[arg(long, env = "PARK_MQTTS", requires_all = ["tls_cert", "tls_key"])]
    pub(crate) mqtts: Option<SocketAddr>,
    /// The server's certificate for `--mqtts` with those between it and its authority, PEM. Read again when it changes.
    #[arg(long, env = "PARK_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, env = "PARK_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The authority that signs the devices' certificates, PEM: a device whose certificate names it needs no password.
    #[arg(long, env = "PARK_TLS_CLIENT_CA")]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// Revocation lists of that authority, PEM.
    #[arg(long, env = "PARK_TLS_CLIENT_CRL", requires = "tls_client_ca")]
    pub(crate) tls_client_crl: Option<PathBuf>,
    /// Also reads from this broker, such as `mqtt://user:password@broker:1883`.
    #[arg(long, env = "PARK_MQTT_UPSTREAM")]
    pub(crate) mqtt_upstream: Option<String>,
    /// PostgreSQL for records and telemetry, `postgres://…`; SQLite files in the data folder when absent.
    #[arg(long, env = "PARK_DATABASE")]
    pub(crate) database: Option<String>,
    /// Registers the scene's devices as simulated and writes their secrets to `fleet-secrets.json` in the data folder.
    #[arg(long)]
    pub(crate) simulated_fleet: bool,
    /// Networks of the reverse proxies whose `X-Forwarded-For` is believed, such as `10.0.0.5` or `10.0.0.0/24,fd00::/8`; without
    /// one the address of whoever connects is what counts.
    #[arg(long, env = "PARK_TRUSTED_PROXY", value_delimiter = ',')]
    pub(crate) trusted_proxy: Vec<access::Network>,
    /// Networks that webhooks may reach besides public addresses, such as `10.20.0.0/16`.
    #[arg(long, env = "PARK_WEBHOOK_NETWORK", value_delimiter = ',')]
    pub(crate) webhook_network: Vec<access::Network>,
    /// Password of the first `admin`; generated when absent. Used at the first start only.
    #[arg(long, env = "PARK_ADMIN_PASSWORD", hide_env_values = true)]
    pub(crate) admin_password: Option<String>,
    /// Seconds between plans.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(10..=3600))]
    pub(crate) plan_every: u64,
    /// Days telemetry is kept; older samples are refused.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) retention_days: u32,
}

/// How the work is shared out between processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Roles {
    /// One process does everything.
    All,
    /// Takes payloads from the broker and keeps them in PostgreSQL for the server; there may be several.
    Gateway,
    /// Everything else, on what gateways keep; there is one.
    Server,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The data folder of the server.
    #[arg(long, env = "PARK_DATA", default_value = "var")]
    pub(crate) data: PathBuf,
    /// Where the copy goes: a folder that does not exist yet or is empty.
    #[arg(long)]
    pub(crate) into: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// A folder made by `backup`.
    #[arg(long)]
    pub(crate) from: PathBuf,
    /// The data folder to fill: must not hold a park yet.
    #[arg(long, env = "PARK_DATA", default_value = "var")]
    pub(crate) data: PathBuf,
    /// PostgreSQL to restore into, when the park ran on one.
    #[arg(long, env = "PARK_DATABASE")]
    pub(crate) database: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HistoryCommand {
    /// Says what is stored, as JSON.
    Stats(HistoryArgs),
    /// Opens every block and names those that are damaged; fails when there is one.
    Verify(HistoryArgs),
    /// Merges all blocks that wait to be merged.
    Compact(HistoryArgs),
    /// Writes days that are over as Parquet, to a folder or an S3-compatible store.
    Export(ExportArgs),
    /// Reads days back, or any Parquet with the columns device, measurement, time and value.
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The data folder of the server.
    #[arg(long, env = "PARK_DATA", default_value = "var")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The data folder of the server.
    #[arg(long, env = "PARK_DATA", default_value = "var")]
    pub(crate) data: PathBuf,
    /// A folder (`file:///…` or a path) or `s3://bucket/prefix`. Credentials and region come from the environment
    /// (`AWS_ACCESS_KEY_ID` …): the server's, where one runs on the data.
    #[arg(long)]
    pub(crate) to: String,
    /// Where an S3-compatible store of one's own answers, such as `http://minio:9000`.
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    pub(crate) endpoint: Option<String>,
    /// First day, in the park's time zone, such as 2026-11-01; the oldest stored one when absent.
    #[arg(long)]
    pub(crate) first_day: Option<jiff::civil::Date>,
    /// Last day; the newest one that is over when absent.
    #[arg(long)]
    pub(crate) last_day: Option<jiff::civil::Date>,
    /// Reads every day again instead of trusting that one which comes to the same as before is the same.
    #[arg(long)]
    pub(crate) full: bool,
    /// The park, for its time zone and units; what the server was last started with when absent.
    #[arg(long, env = "PARK_SCENE")]
    pub(crate) scene: Option<PathBuf>,
    /// Thing models; the folder `models` beside the scene when absent.
    #[arg(long, env = "PARK_MODELS")]
    pub(crate) models: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The data folder of the server.
    #[arg(long, env = "PARK_DATA", default_value = "var")]
    pub(crate) data: PathBuf,
    /// A folder (`file:///…` or a path), `s3://bucket/prefix`, or one `.parquet` file of either.
    #[arg(long)]
    pub(crate) from: String,
    /// Where an S3-compatible store of one's own answers, such as `http://minio:9000`.
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    pub(crate) endpoint: Option<String>,
    /// Where the store has another value for the same instant, takes the file's.
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SceneCommand {
    /// Checks a scene and says what it holds, or every problem it has.
    Check(SceneArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SceneArgs {
    pub(crate) scene: PathBuf,
    #[arg(long)]
    pub(crate) models: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StudyCommand {
    /// Compares a simulated week with and without dispatch.
    Week(WeekArgs),
}

#[derive(Debug, Args)]
pub(crate) struct WeekArgs {
    #[arg(long, default_value = "scenes/wujiang-park")]
    pub(crate) scene: PathBuf,
    #[arg(long)]
    pub(crate) models: Option<PathBuf>,
    /// First day, local: a Monday in summer.
    #[arg(long, default_value = "2026-07-13")]
    pub(crate) from: String,
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(i64).range(1..=31))]
    pub(crate) days: i64,
    /// Markdown page to write; standard output when absent.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}
