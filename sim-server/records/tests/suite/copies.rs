//! Opening again, backup, restore, and one server per database.

use crate::{HOUR, NOW, Place, alarm, command, device, event, rotated};
use records::{
    DeviceSecret, KeyCounts, KeyIncrement, KeyUse, NewDelivery, Records, RecordsError, Role, StoredKey,
    StoredWebhook,
};
use shared::{stream::Presence, time::Timestamp};
use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

on_both_databases! {
    what_was_written_is_there_after_opening_again,
    a_backup_taken_while_writing_restores_to_one_moment,
    a_restore_keeps_everything,
    a_restore_into_a_used_database_is_refused,
    a_second_backup_does_not_overwrite_the_first,
    a_second_claim_names_the_holder,
}

/// Everything that can be read, for comparing two databases.
async fn content(records: &Records) -> Vec<String> {
    let device = "bess-01".parse().unwrap();
    vec![
        format!("{:?}", records.users().await.unwrap()),
        format!("{:?}", records.wall_tokens().await.unwrap()),
        format!("{:?}", records.devices().await.unwrap()),
        format!("{:?}", records.commands_of(&device, usize::MAX).await.unwrap()),
        format!("{:?}", records.alarms(Timestamp(0), Timestamp(i64::MAX), usize::MAX, 0).await.unwrap()),
        format!("{:?}", records.events(&device, usize::MAX).await.unwrap()),
        format!("{:?}", records.audit_log(usize::MAX, 0).await.unwrap()),
        format!("{:?}", records.setting("k").await.unwrap()),
        format!("{:?}", records.api_keys().await.unwrap()),
        format!("{:?}", records.key_counts("k-1", "", "9").await.unwrap()),
        format!("{:?}", records.news(usize::MAX).await.unwrap()),
        format!("{:?}", records.presence().await.unwrap()),
        format!("{:?}", records.webhooks().await.unwrap()),
        format!("{:?}", records.deliveries("w-1", None, usize::MAX, 0).await.unwrap()),
        format!("{:?}", records.told_through("w-1").await.unwrap()),
    ]
}

async fn fill(records: &Records) {
    records.create_user("admin", "long enough", Role::Admin, NOW).await.unwrap();
    records.create_wall_token("大屏", NOW).await.unwrap();
    let (revoked, _) = records.create_wall_token("old", NOW).await.unwrap();
    records.revoke_wall_token(&revoked.id, NOW).await.unwrap();
    records.insert_device(&device("bess-01"), &DeviceSecret::generate()).await.unwrap();
    records.insert_command(&command("c-1", "bess-01", NOW.0)).await.unwrap();
    records.save_alarms(&[alarm("a-1", NOW.0)]).await.unwrap();
    records.insert_event(&event("bess-01", "e-1", NOW.0), NOW).await.unwrap();
    records.audit("admin", "login", "", NOW).await.unwrap();
    let key =
        StoredKey { id: "k-1".into(), sha256: [1; 32], created_at: NOW, last_use: None, body: "{}".into() };
    records.insert_api_key(&key).await.unwrap();
    let counts = KeyCounts { requests: 1, ..KeyCounts::default() };
    let last_use = Some(KeyUse { at: NOW, from: "::1".into() });
    let use_of_key = KeyIncrement { key: "k-1".into(), day: "2026-06-01".into(), counts, last_use };
    records.add_key_counts(&[use_of_key]).await.unwrap();
    let presence = Presence { device: "bess-01".parse().unwrap(), online: true, last_seen: Some(NOW) };
    records.save_presence(&[presence], NOW).await.unwrap();
    let webhook = StoredWebhook { id: "w-1".into(), created_at: NOW, body: "{}".into() };
    records.insert_webhook(&webhook).await.unwrap();
    records.set_told_through("w-1", NOW).await.unwrap();
    let delivery = NewDelivery::new("w-1", "test", NOW, "{}".into());
    records.hand_on(&[], &[delivery], NOW).await.unwrap();
    records.put_setting("k", "v \" \\ \n").await.unwrap();
}

async fn what_was_written_is_there_after_opening_again(place: &Place) {
    let url = place.fresh_url().await;
    let records = Records::open(&url).await.unwrap();
    records.insert_device(&device("bess-01"), &DeviceSecret::generate()).await.unwrap();
    records.close().await;
    assert!(records.check().await.is_err());
    let records = Records::open(&url).await.unwrap();
    records.check().await.unwrap();
    assert_eq!(records.devices().await.unwrap().len(), 1);
}

async fn a_backup_taken_while_writing_restores_to_one_moment(place: &Place) {
    let records = place.fresh().await;
    let writer = records.clone();
    let (started, first_written) = tokio::sync::oneshot::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = stop.clone();
    let writing = tokio::spawn(async move {
        let mut started = Some(started);
        let mut count = 0;
        while !stopping.load(Ordering::Relaxed) {
            // The command and its device are one transaction apart: a copy may hold the first without the second,
            // never the second without the first.
            writer.insert_command(&command(&format!("c-{count}"), "bess-01", count)).await.unwrap();
            writer.insert_device(&device(&format!("c-{count}")), &DeviceSecret::generate()).await.unwrap();
            count += 1;
            if let Some(started) = started.take_if(|_| count >= 20) {
                started.send(()).unwrap();
            }
        }
    });
    first_written.await.unwrap();
    let folder = place.folder.path().join("backup");
    records.backup(&folder).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();

    let url = place.fresh_url().await;
    Records::restore(&url, &folder).await.unwrap();
    let copy = Records::open(&url).await.unwrap();
    let commands: HashSet<String> = copy
        .commands_of(&"bess-01".parse().unwrap(), usize::MAX)
        .await
        .unwrap()
        .into_iter()
        .map(|c| c.request.command_id.to_string())
        .collect();
    let devices: HashSet<String> =
        copy.devices().await.unwrap().into_iter().map(|d| d.record.id.to_string()).collect();
    assert!(devices.len() >= 20);
    assert!(devices.is_subset(&commands));
    assert!(commands.len() - devices.len() <= 1, "{} {}", commands.len(), devices.len());
}

async fn a_restore_keeps_everything(place: &Place) {
    let records = place.fresh().await;
    fill(&records).await;
    let refresh = records.issue_refresh_token("admin", NOW, HOUR).await.unwrap();
    let folder = place.folder.path().join("backup");
    records.backup(&folder).await.unwrap();
    for url in [place.fresh_url().await, Place::sqlite_url_in(place.folder.path(), "elsewhere.db")] {
        Records::restore(&url, &folder).await.unwrap();
        let copy = Records::open(&url).await.unwrap();
        assert_eq!(content(&copy).await, content(&records).await);
        assert!(copy.verify_password("admin", "long enough").await.unwrap().is_some());
        rotated(&copy, &refresh).await;
    }
    #[cfg(unix)]
    for entry in std::fs::read_dir(&folder).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
    }
}

async fn a_restore_into_a_used_database_is_refused(place: &Place) {
    let records = place.fresh().await;
    fill(&records).await;
    let folder = place.folder.path().join("backup");
    records.backup(&folder).await.unwrap();
    let url = place.fresh_url().await;
    Records::open(&url).await.unwrap().put_setting("k", "kept").await.unwrap();
    let refused = Records::restore(&url, &folder).await;
    assert!(matches!(refused, Err(RecordsError::NotEmpty { table: "settings" })), "{refused:?}");
    assert_eq!(Records::open(&url).await.unwrap().setting("k").await.unwrap().as_deref(), Some("kept"));
    let nothing = Records::restore(&place.fresh_url().await, place.folder.path()).await;
    assert!(matches!(nothing, Err(RecordsError::Backup { .. })), "{nothing:?}");
}

async fn a_second_backup_does_not_overwrite_the_first(place: &Place) {
    let records = place.fresh().await;
    let folder = place.folder.path().join("backup");
    records.backup(&folder).await.unwrap();
    let again = records.backup(&folder).await;
    assert!(matches!(again, Err(RecordsError::Backup { .. })), "{again:?}");
}

async fn a_second_claim_names_the_holder(place: &Place) {
    let url = place.fresh_url().await;
    let records = Records::open(&url).await.unwrap();
    let claim = records.claim("host-a:17").await.unwrap();
    let other = Records::open(&url).await.unwrap();
    let refused = other.claim("host-b:18").await;
    let Err(RecordsError::Claimed { holder }) = refused else { panic!("{refused:?}") };
    assert_eq!(holder, "host-a:17");
    drop(claim);
    other.claim("host-b:18").await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_sqlite_database_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::sqlite();
    let records = place.fresh().await;
    fill(&records).await;
    let mut seen = 0;
    for entry in std::fs::read_dir(place.folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        seen += 1;
    }
    assert!(seen >= 2, "the database and its log");
}

#[tokio::test]
async fn an_unusable_address_says_why() {
    for (url, part) in [
        ("mysql://park:secret@db/park", "mysql://…@db/park"),
        ("records.db", "expected sqlite:///"),
        ("postgres://park:secret@127.0.0.1:1/park", "127.0.0.1:1"),
    ] {
        let Err(error) = Records::open(url).await else { panic!("{url} opened") };
        let text = error.to_string();
        assert!(text.contains(part), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
    let Err(error) = Records::open("sqlite:///no/such/folder/records.db").await else { panic!("opened") };
    assert!(error.to_string().contains("/no/such/folder/records.db"), "{error}");
}

#[tokio::test]
async fn a_cut_off_or_altered_line_copy_restores_nothing() {
    let place = Place::sqlite();
    let header = r#"{"header":{"format":"park-records","version":1}}"#;
    let row = r#"{"row":{"table":"settings","columns":{"key":"k","value":"v"}}}"#;
    let cases = [
        (format!("{header}\n{row}\n"), "cut off"),
        (format!("{header}\n{row}\n{{\"end\":{{\"rows\":2}}}}\n"), "2 rows were written, 1 are here"),
        (format!("{row}\n"), "line 1"),
        (format!("{header}\n{row}\nnonsense\n"), "line 3"),
        (format!("{header}\n{}\n", row.replace("settings", "nowhere")), "nowhere"),
    ];
    for (index, (text, part)) in cases.iter().enumerate() {
        let folder = place.folder.path().join(format!("backup-{index}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("records.ndjson"), text).unwrap();
        let url = place.fresh_url().await;
        let error = Records::restore(&url, &folder).await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert_eq!(Records::open(&url).await.unwrap().setting("k").await.unwrap(), None);
    }
}

impl Place {
    fn sqlite_url_in(folder: &Path, name: &str) -> String {
        format!("sqlite://{}", folder.join(name).display())
    }
}
