//! The dashboards: one panel a file, each a pure function of the model.
//!
//! `fn panel_ui(ui, &ParkModel, &I18n, &mut Vec<UiCommand>)`: it reads, draws and asks; nothing else.

pub mod alarms;
pub mod balance;
pub mod building;
pub mod carbon;
pub mod device;
pub mod login;
pub mod parts;
pub mod plan;
pub mod search;
pub mod storage;
pub mod tariff;
pub mod today;
pub mod top_bar;
