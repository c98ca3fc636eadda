//! Panels as people use them: what they show of a model, and what a click asks for.

mod fixture;

use egui::Key;
use egui_kittest::{Harness, kittest::Queryable};
use shared::{
    command::CommandStatus,
    stream::{CommandUpdate, ServerMessage},
    text::Language,
    time::Timestamp,
};
use twin_client::{
    i18n::I18n,
    model::{FaultKind, LinkState, ParkModel, Role, Selection, selection::Thing},
    panels::search::hits,
    ui::{UiState, View, arrange, commands::UiCommand, fonts, theme},
};

const NOW: Timestamp = Timestamp(1_782_014_400_000);

struct Desk {
    model: ParkModel,
    i18n: I18n,
    selection: Selection,
    state: UiState,
    out: Vec<UiCommand>,
    left: Option<egui::Rect>,
}

fn desk(language: Language) -> Desk {
    let scene = fixture::sample_park();
    let mut model = ParkModel::default();
    model.set_scene(scene.clone(), "v1".into());
    for message in fixture::messages(&scene, NOW) {
        model.apply(message, NOW);
    }
    model.curve = Some(fixture::curve(NOW, Timestamp(NOW.0 - 11 * 3_600_000)));
    model.link = LinkState::Live;
    model.role = Some(Role::Operator);
    model.set_local_time(NOW);
    Desk {
        model,
        i18n: I18n::new(language),
        selection: Selection::default(),
        state: UiState::default(),
        out: Vec::new(),
        left: None,
    }
}

fn harness(desk: Desk) -> Harness<'static, Desk> {
    let mut harness = Harness::builder().with_size(egui::vec2(1600.0, 900.0)).build_ui_state(
        |ui, desk: &mut Desk| {
            let view = View { model: &desk.model, i18n: &desk.i18n, selection: &desk.selection };
            desk.left = Some(arrange(ui, &view, &mut desk.state, &mut desk.out));
        },
        desk,
    );
    harness.ctx.set_fonts(fonts::definitions());
    theme::apply(&harness.ctx);
    harness.run_steps(3);
    harness
}

#[test]
fn the_park_keeps_the_space_between_the_panels() {
    let harness = harness(desk(Language::Chinese));
    let left = harness.state().left.unwrap();
    assert!(left.width() > 850.0 && left.height() > 800.0, "{left:?}");
    assert!(harness.state().out.is_empty(), "nobody asked for anything: {:?}", harness.state().out);
}

#[test]
fn both_languages_show_the_same_panels_in_their_own_words() {
    for (language, words) in [
        (Language::Chinese, ["实时功率平衡", "分时电价", "碳时钟", "告警", "示例电价"]),
        (Language::English, ["Power balance now", "Tariff", "Carbon clock", "Alarms", "example"]),
    ] {
        let harness = harness(desk(language));
        for word in words {
            assert!(harness.query_by_label(word).is_some(), "{word}");
        }
    }
}

#[test]
fn acknowledging_asks_for_the_most_pressing_alarm_first() {
    let mut harness = harness(desk(Language::English));
    harness.get_all_by_label("Ack").next().unwrap().click();
    harness.run_steps(2);
    assert_eq!(harness.state().out, [UiCommand::Acknowledge("a1".parse().unwrap())]);
}

#[test]
fn nothing_can_be_asked_while_the_link_is_lost_and_the_banner_says_so() {
    let mut lost = desk(Language::English);
    lost.model.link =
        LinkState::Lost { since: Timestamp(NOW.0 - 7_000), reason: FaultKind::Closed.with("reset") };
    let mut harness = harness(lost);
    assert!(harness.query_by_label_contains("Link lost, reconnecting").is_some());
    assert!(harness.query_by_label_contains("7 s ago").is_some());
    harness.get_all_by_label("Ack").next().unwrap().click();
    harness.run_steps(2);
    assert!(!harness.state().out.iter().any(|c| matches!(c, UiCommand::Acknowledge(_))));
}

#[test]
fn a_selected_device_shows_its_values_with_unit_and_state_in_words() {
    let mut chosen = desk(Language::English);
    let scene = chosen.model.scene.clone().unwrap();
    let index = scene.device_index(&"bess-1".parse().unwrap()).unwrap();
    chosen.selection.selected = Some(Thing::Device(index));
    let mut harness = harness(chosen);
    for shown in
        ["Storage 1", "State of charge", "online", "simulated", "Planned power of this device", "Command"]
    {
        assert!(harness.query_all_by_label(shown).next().is_some(), "{shown}");
    }
    harness.get_by_label("×").click();
    harness.run_steps(2);
    assert_eq!(harness.state().out, [UiCommand::Select(None)]);
}

#[test]
fn the_language_button_asks_for_the_other_language() {
    let mut harness = harness(desk(Language::Chinese));
    harness.get_by_label("EN").click();
    harness.run_steps(2);
    assert_eq!(harness.state().out, [UiCommand::SetLanguage(Language::English)]);
}

#[test]
fn without_credentials_the_client_asks_for_them() {
    let mut empty = desk(Language::English);
    empty.model = ParkModel::default();
    let harness = harness(empty);
    assert!(harness.query_by_label("User name").is_some());
}

fn select(desk: &mut Desk, device: &str) {
    let scene = desk.model.scene.clone();
    let index = device.parse().ok().and_then(|id| scene?.device_index(&id));
    desk.selection.selected = index.map(Thing::Device);
}

#[test]
fn planning_now_is_one_click() {
    let mut harness = harness(desk(Language::Chinese));
    harness.get_by_label("立即规划").click();
    harness.run_steps(2);
    assert_eq!(harness.state().out, [UiCommand::PlanNow]);
}

#[test]
fn a_device_dispatch_does_not_steer_says_so() {
    for (language, words) in [(Language::Chinese, "不参与调度"), (Language::English, "Not planned")] {
        let mut chosen = desk(language);
        select(&mut chosen, "load-o1");
        let harness = harness(chosen);
        assert!(harness.query_by_label_contains(words).is_some(), "{words}");
        assert!(harness.query_by_label("Command").is_none(), "there is nothing to command");
    }
}

#[test]
fn a_command_is_sent_only_once_confirmed_and_its_end_is_told_with_the_devices_reason() {
    let mut chosen = desk(Language::English);
    select(&mut chosen, "bess-1");
    let mut harness = harness(chosen);
    harness.get_by_label("Set power…").click();
    harness.run_steps(2);
    assert!(harness.state().out.is_empty(), "not before it is confirmed");
    harness.get_by_label("Send").click();
    harness.run_steps(2);
    let [UiCommand::Control(request)] = &harness.state().out[..] else {
        panic!("{:?}", harness.state().out);
    };
    assert_eq!((request.device_id.as_str(), request.command.as_str()), ("bess-1", "setPower"));
    assert_eq!(request.parameters["duration"], 900);
    let update = CommandUpdate {
        command_id: request.command_id.clone(),
        device_id: request.device_id.clone(),
        status: CommandStatus::Rejected,
        reason: Some("too hot".into()),
    };
    harness.state_mut().model.apply(ServerMessage::Command(update), NOW);
    harness.run_steps(2);
    assert!(harness.query_all_by_label_contains("rejected: too hot").next().is_some());
}

#[test]
fn keys_ask_for_the_other_language_the_list_of_keys_and_an_empty_selection() {
    let mut chosen = desk(Language::Chinese);
    select(&mut chosen, "bess-1");
    let mut harness = harness(chosen);
    for key in [Key::L, Key::F1, Key::Escape, Key::OpenBracket] {
        harness.key_press(key);
        harness.run_steps(2);
    }
    assert_eq!(
        harness.state().out,
        [
            UiCommand::SetLanguage(Language::English),
            UiCommand::ToggleHelp,
            UiCommand::Select(None),
            UiCommand::ToggleLeft
        ]
    );
}

#[test]
fn the_search_is_reached_and_used_without_a_mouse() {
    let mut harness = harness(desk(Language::English));
    harness.key_press(Key::Slash);
    harness.run_steps(2);
    harness.state_mut().state.search = "storage".into();
    harness.run_steps(2);
    harness.key_press(Key::ArrowDown);
    harness.run_steps(1);
    harness.key_press(Key::Enter);
    harness.run_steps(2);
    let scene = harness.state().model.scene.clone().unwrap();
    let second = hits(&scene, "storage")[1];
    assert_eq!(harness.state().out, [UiCommand::GoTo(second), UiCommand::Search(String::new())]);
}

#[test]
fn the_list_of_keys_opens_over_the_park() {
    let mut helped = desk(Language::English);
    helped.state.panels.help_open = true;
    let mut harness = harness(helped);
    assert!(harness.query_by_label("Keys and mouse").is_some());
    harness.get_by_label("Close").click();
    harness.run_steps(2);
    assert_eq!(harness.state().out, [UiCommand::ToggleHelp]);
}

#[test]
fn an_unknown_state_of_charge_is_a_dash_and_not_an_empty_battery() {
    let mut unknown = desk(Language::English);
    let energy = unknown.model.energy.as_mut().unwrap();
    energy.state_of_charge = None;
    unknown.model.values = Default::default();
    let harness = harness(unknown);
    assert!(harness.query_all_by_label("– %").next().is_some());
}

#[test]
fn a_viewer_cannot_plan_or_acknowledge_and_may_see_who_is_signed_in_and_sign_out() {
    let mut looking = desk(Language::English);
    looking.model.role = Some(Role::Viewer);
    looking.model.user_name = Some("li".into());
    let mut harness = harness(looking);
    harness.get_by_label("Plan now").click();
    harness.get_all_by_label("Ack").next().unwrap().click();
    harness.run_steps(2);
    let asked = |c: &UiCommand| matches!(c, UiCommand::PlanNow | UiCommand::Acknowledge(_));
    assert!(!harness.state().out.iter().any(asked), "{:?}", harness.state().out);
    harness.state_mut().out.clear();
    harness.get_by_label("Account").click();
    harness.run_steps(3);
    assert!(harness.query_by_label("li").is_some());
    assert!(harness.query_by_label("Viewer: looks").is_some());
    harness.get_by_label("Sign out").click();
    harness.run_steps(2);
    assert_eq!(harness.state().out, [UiCommand::Logout]);
}

fn report(shares: [f64; 3], conflict: bool) -> shared::quality::QualityReport {
    let [completeness, timeliness, validity] = shares.map(Some);
    let figures = serde_json::json!({
        "completeness": completeness, "timeliness": timeliness, "validity": validity, "expected": 1000, "came": 900,
        "received": 900, "late": 12, "backfilled": 0, "outOfRange": 3, "suspect": 2, "jumps": 1, "stuck": 1, "skewed": 0,
        "duplicates": 0, "refused": 0, "converted": 0, "longestGapS": 900,
    });
    let input = |priority: u32, device: &str, value: f64, used: bool| {
        serde_json::json!({
            "priority": priority, "measurement": "power", "devices": [device], "value": value, "timestamp": NOW.0,
            "quality": "good", "used": used, "stale": false, "difference": (!used).then_some(value - 100.0),
            "conflicts": !used && conflict,
        })
    };
    serde_json::from_value(serde_json::json!({
        "at": NOW.0, "from": "2026-06-15", "to": "2026-06-21", "lateAfterS": 30, "clockSkewS": 10, "totals": figures,
        "days": [{ "day": "2026-06-21", "figures": figures }],
        "devices": [{
            "deviceId": "bess-1", "model": "storage", "day": "2026-06-21", "clockSkewMs": 15_000, "figures": figures,
        }],
        "leftOut": 0,
        "sources": [{
            "id": "power", "name": { "zh": "功率", "en": "Power" }, "unit": "kW", "value": 100.0, "timestamp": NOW.0,
            "quality": "good", "state": if conflict { "conflict" } else { "agreed" }, "conflictSince": null,
            "tolerance": 5.0, "inputs": [input(1, "grid", 100.0, true), input(2, "grid", 140.0, false)],
        }],
    }))
    .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_quality_of_the_data_is_one_key_away_and_says_in_words_what_is_wrong() {
    let mut poor = desk(Language::English);
    poor.model.quality.answer(Ok(report([0.9, 0.985, 0.8], true)));
    let mut harness = harness(poor);
    harness.key_press(Key::K);
    harness.run_steps(2);
    assert_eq!(harness.state_mut().out.pop(), Some(UiCommand::ToggleQuality));
    harness.state_mut().state.panels.quality_open = true;
    harness.run_steps(3);
    for shown in ["reduced", "poor", "Storage 1", "sources differ", "in use", "+40.0 kW"] {
        assert!(harness.query_all_by_label(shown).next().is_some(), "{shown}");
    }
    assert!(harness.query_all_by_label_contains("clock off by 15 s").next().is_some());
    harness.get_all_by_label("Storage 1").last().unwrap().click();
    harness.run_steps(2);
    assert!(matches!(harness.state().out[..], [UiCommand::GoTo(_), UiCommand::ToggleQuality]));
    harness.state_mut().out.clear();
    harness.key_press(Key::Escape);
    harness.run_steps(2);
    assert_eq!(harness.state().out, [UiCommand::ToggleQuality]);
}

#[test]
fn data_that_are_in_order_are_calm_in_both_languages() {
    for (language, calm, alarming) in [
        (Language::Chinese, "所有设备的数据均正常", "过低"),
        (Language::English, "The data of all devices are in order", "poor"),
    ] {
        let mut well = desk(language);
        well.model.quality.answer(Ok(report([1.0, 1.0, 1.0], false)));
        well.state.panels.quality_open = true;
        let harness = harness(well);
        assert!(harness.query_by_label(calm).is_some(), "{calm}");
        assert!(harness.query_by_label(alarming).is_none(), "{alarming}");
    }
}
