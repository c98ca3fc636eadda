# Licences, bans and sources of every dependency. Sourced by scripts/test.

if ! command -v cargo-deny >/dev/null; then
    step "installing cargo-deny" cargo install cargo-deny --locked --root "$cache/tools"
fi
step "licences, bans and sources" cargo deny --all-features check licenses bans sources
