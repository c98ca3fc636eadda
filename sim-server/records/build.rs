//! `sqlx::migrate!` embeds the folder; cargo only rebuilds for it when told.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
