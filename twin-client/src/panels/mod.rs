//! The dashboards: one panel a file, each a pure function of the model.
//!
//! `fn panel_ui(ui, &ParkModel, &I18n, &mut Vec<UiCommand>)`: it reads, draws and asks; nothing else.

pub mod alarms;
pub mod balance;
pub mod building;
pub mod carbon;
pub mod columns;
pub mod control;
pub mod day;
pub mod device;
pub mod keys;
pub mod login;
pub mod notices;
pub mod parts;
pub mod plan;
pub mod plots;
pub mod quality;
pub mod rights;
pub mod search;
pub mod storage;
pub mod tariff;
pub mod today;
pub mod top_bar;

/// What panels remember between frames besides the model: forms half filled in, windows open.
#[derive(Default)]
pub struct PanelState {
    pub control: control::ControlForm,
    pub help_open: bool,
    pub quality_open: bool,
}
