//! Accounts, logins and wall tokens.

use crate::{HOUR, NOW, Place, rotated};
use records::{RecordsError, Role, Rotation};
use shared::time::Timestamp;

on_both_databases! {
    a_password_opens_only_its_own_account,
    a_user_name_is_taken_once,
    bad_names_and_passwords_are_refused_by_field,
    there_is_always_an_administrator,
    two_administrators_cannot_remove_each_other_at_once,
    a_new_password_ends_the_old_sessions,
    a_refresh_token_is_spent_once_and_reuse_ends_the_login,
    of_two_who_show_one_refresh_token_at_once_one_wins,
    a_refresh_token_expires,
    signing_out_ends_one_login_and_not_another,
    a_deleted_users_refresh_token_is_unknown,
    a_wall_token_is_good_until_it_is_revoked,
}

async fn a_password_opens_only_its_own_account(place: &Place) {
    let records = place.fresh().await;
    records.create_user("lin", "correct horse", Role::Operator, NOW).await.unwrap();
    let user = records.verify_password("lin", "correct horse").await.unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.role, user.created_at), ("lin", Role::Operator, NOW));
    for (name, password) in [("lin", "wrong horse"), ("lin", ""), ("nobody", "correct horse"), ("", "")] {
        assert_eq!(records.verify_password(name, password).await.unwrap(), None, "{name} {password}");
    }
}

async fn a_user_name_is_taken_once(place: &Place) {
    let records = place.fresh().await;
    records.create_user("王工", "first password", Role::Viewer, NOW).await.unwrap();
    let again = records.create_user("王工", "second password", Role::Admin, NOW).await;
    assert!(matches!(again, Err(RecordsError::AlreadyExists { what: "user", .. })), "{again:?}");
    assert_eq!(records.users().await.unwrap().len(), 1);
    assert_eq!(records.user("王工").await.unwrap().unwrap().role, Role::Viewer);
}

async fn bad_names_and_passwords_are_refused_by_field(place: &Place) {
    let records = place.fresh().await;
    for (name, password, field) in [
        ("", "long enough", "username"),
        ("two words", "long enough", "username"),
        ("nul\0", "long enough", "username"),
        ("lin", "short", "password"),
        ("lin", &"x".repeat(1_025), "password"),
    ] {
        let refused = records.create_user(name, password, Role::Viewer, NOW).await;
        let Err(RecordsError::Invalid { field: at, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(at, field);
    }
}

async fn there_is_always_an_administrator(place: &Place) {
    let records = place.fresh().await;
    records.create_user("admin", "long enough", Role::Admin, NOW).await.unwrap();
    let last = |result| matches!(result, Err(RecordsError::LastAdministrator { .. }));
    assert!(last(records.set_role("admin", Role::Viewer).await));
    assert!(last(records.delete_user("admin").await));
    records.create_user("second", "long enough", Role::Viewer, NOW).await.unwrap();
    assert!(last(records.delete_user("admin").await));
    records.set_role("second", Role::Admin).await.unwrap();
    records.delete_user("admin").await.unwrap();
    assert!(matches!(records.delete_user("admin").await, Err(RecordsError::NotFound { .. })));
    assert!(matches!(records.set_role("admin", Role::Admin).await, Err(RecordsError::NotFound { .. })));
}

async fn two_administrators_cannot_remove_each_other_at_once(place: &Place) {
    let records = place.fresh().await;
    for name in ["a", "b"] {
        records.create_user(name, "long enough", Role::Admin, NOW).await.unwrap();
    }
    let (a, b) = tokio::join!(records.delete_user("a"), records.delete_user("b"));
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    assert_eq!(records.users().await.unwrap().len(), 1);
}

async fn a_new_password_ends_the_old_sessions(place: &Place) {
    let records = place.fresh().await;
    records.create_user("lin", "first password", Role::Viewer, NOW).await.unwrap();
    let token = records.issue_refresh_token("lin", NOW, HOUR).await.unwrap();
    records.set_password("lin", "second password").await.unwrap();
    assert_eq!(records.rotate_refresh_token(&token, NOW, HOUR).await.unwrap(), Rotation::Unknown);
    assert!(records.verify_password("lin", "first password").await.unwrap().is_none());
    assert!(records.verify_password("lin", "second password").await.unwrap().is_some());
    assert!(matches!(
        records.set_password("nobody", "long enough").await,
        Err(RecordsError::NotFound { .. })
    ));
}

async fn a_refresh_token_is_spent_once_and_reuse_ends_the_login(place: &Place) {
    let records = place.fresh().await;
    records.create_user("lin", "long enough", Role::Viewer, NOW).await.unwrap();
    let first = records.issue_refresh_token("lin", NOW, HOUR).await.unwrap();
    let other_login = records.issue_refresh_token("lin", NOW, HOUR).await.unwrap();
    let second = rotated(&records, &first).await;
    let third = rotated(&records, &second).await;
    assert_eq!(
        records.rotate_refresh_token(&first, NOW, HOUR).await.unwrap(),
        Rotation::Reused { user: "lin".into() }
    );
    assert_eq!(records.rotate_refresh_token(&third, NOW, HOUR).await.unwrap(), Rotation::Unknown);
    rotated(&records, &other_login).await;
    assert_eq!(records.rotate_refresh_token("made up", NOW, HOUR).await.unwrap(), Rotation::Unknown);
}

async fn of_two_who_show_one_refresh_token_at_once_one_wins(place: &Place) {
    let records = place.fresh().await;
    records.create_user("lin", "long enough", Role::Viewer, NOW).await.unwrap();
    let token = records.issue_refresh_token("lin", NOW, HOUR).await.unwrap();
    let (a, b) = tokio::join!(
        records.rotate_refresh_token(&token, NOW, HOUR),
        records.rotate_refresh_token(&token, NOW, HOUR)
    );
    let won = [a.unwrap(), b.unwrap()].into_iter().filter(|r| matches!(r, Rotation::Rotated { .. })).count();
    assert_eq!(won, 1);
}

async fn a_refresh_token_expires(place: &Place) {
    let records = place.fresh().await;
    records.create_user("lin", "long enough", Role::Viewer, NOW).await.unwrap();
    let token = records.issue_refresh_token("lin", NOW, HOUR).await.unwrap();
    let later = Timestamp(NOW.0 + HOUR);
    assert_eq!(records.rotate_refresh_token(&token, later, HOUR).await.unwrap(), Rotation::Expired);
    let nobody = records.issue_refresh_token("nobody", NOW, HOUR).await;
    assert!(matches!(nobody, Err(RecordsError::NotFound { what: "user", .. })), "{nobody:?}");
}

async fn signing_out_ends_one_login_and_not_another(place: &Place) {
    let records = place.fresh().await;
    records.create_user("lin", "long enough", Role::Viewer, NOW).await.unwrap();
    let here = records.issue_refresh_token("lin", NOW, HOUR).await.unwrap();
    let here = rotated(&records, &here).await;
    let there = records.issue_refresh_token("lin", NOW, HOUR).await.unwrap();
    records.revoke_refresh_token(&here).await.unwrap();
    assert_eq!(records.rotate_refresh_token(&here, NOW, HOUR).await.unwrap(), Rotation::Unknown);
    let there = rotated(&records, &there).await;
    records.revoke_refresh_tokens("lin").await.unwrap();
    assert_eq!(records.rotate_refresh_token(&there, NOW, HOUR).await.unwrap(), Rotation::Unknown);
}

async fn a_deleted_users_refresh_token_is_unknown(place: &Place) {
    let records = place.fresh().await;
    records.create_user("admin", "long enough", Role::Admin, NOW).await.unwrap();
    records.create_user("lin", "long enough", Role::Viewer, NOW).await.unwrap();
    let token = records.issue_refresh_token("lin", NOW, HOUR).await.unwrap();
    records.delete_user("lin").await.unwrap();
    assert_eq!(records.rotate_refresh_token(&token, NOW, HOUR).await.unwrap(), Rotation::Unknown);
}

async fn a_wall_token_is_good_until_it_is_revoked(place: &Place) {
    let records = place.fresh().await;
    let (info, token) = records.create_wall_token("中控室大屏", NOW).await.unwrap();
    assert!(token.starts_with(records::WALL_TOKEN_PREFIX));
    assert_eq!(records.check_wall_token(&token).await.unwrap().unwrap(), info);
    assert_eq!(records.check_wall_token("wall_made-up").await.unwrap(), None);
    assert!(records.revoke_wall_token(&info.id, NOW).await.unwrap());
    assert!(!records.revoke_wall_token(&info.id, NOW).await.unwrap());
    assert!(!records.revoke_wall_token("none", NOW).await.unwrap());
    assert_eq!(records.check_wall_token(&token).await.unwrap(), None);
    assert_eq!(records.wall_tokens().await.unwrap()[0].revoked_at, Some(NOW));
}
