//! Fuzzing of parsers, as ordinary tests on a stable compiler.
//!
//! A target is a name and a function of bytes that must not panic; what it returns says what kind of input it was (an error's
//! code, how much was read). An input of a kind not seen before joins the pool that later inputs are made from: that is how
//! the fuzzer finds its way past the first check without instrumented code. Everything is a function of the seed.
//!
//! ```no_run
//! park_fuzz::target("line-protocol", [b"power,device=pv-01 value=1.5 1780000000000".to_vec()], |bytes| {
//!     std::str::from_utf8(bytes).is_ok()
//! });
//! ```
//!
//! `corpus/<name>.txt` beside this crate keeps inputs, one a line, escaped as in a Rust byte string. They run first. An input that
//! makes a target panic is shortened and added there, so that it is tried for ever after.
//!
//! | variable | |
//! | --- | --- |
//! | `PARK_TEST_LONG=yes` | a hundred times as many inputs |
//! | `PARK_FUZZ_INPUTS` | this many |
//! | `PARK_FUZZ_SEED` | another seed than 1 |
//! | `PARK_FUZZ_KEEP=1` | adds inputs of new kinds to the corpus |

mod corpus;
mod mutate;

use corpus::Corpus;
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::{
    cell::Cell,
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

/// Inputs of a short run: about a second of most parsers.
const INPUTS: u64 = 20_000;
const LONG_TIMES: u64 = 100;
/// Longer inputs only make the same faults slower.
const MAX_BYTES: usize = 16 << 10;
/// Kinds beyond these are not told apart any more.
const MAX_POOL: usize = 2_000;
/// Attempts at making a faulty input shorter.
const SHORTENINGS: usize = 2_000;

/// Runs a target over `seeds`, its corpus, and what is made of them.
///
/// # Panics
/// When the target does, naming the input, which is in the corpus from then on.
pub fn target<K: Hash>(name: &str, seeds: impl IntoIterator<Item = Vec<u8>>, run: impl Fn(&[u8]) -> K) {
    search(name, seeds, inputs(), run);
}

fn search<K: Hash>(
    name: &str,
    seeds: impl IntoIterator<Item = Vec<u8>>,
    inputs: u64,
    run: impl Fn(&[u8]) -> K,
) {
    let corpus = Corpus::of(name);
    let mut pool: Vec<Vec<u8>> = seeds.into_iter().chain(corpus.read()).collect();
    assert!(!pool.is_empty(), "the fuzz target {name} has nothing to begin with");
    let mut kinds = HashSet::new();
    for input in &pool {
        kinds.insert(kind_of(input, &run).unwrap_or_else(|| fail(&corpus, input, &run)));
    }
    let keep = std::env::var_os("PARK_FUZZ_KEEP").is_some();
    let seed = number("PARK_FUZZ_SEED").unwrap_or(1);
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ hash(&name));
    for _ in 0..inputs {
        let Some(base) = pool.choose(&mut random) else { return };
        let mut input = base.clone();
        for _ in 0..random.random_range(1..=4) {
            mutate::mutate(&mut input, &pool, &mut random);
        }
        input.truncate(MAX_BYTES);
        let Some(kind) = kind_of(&input, &run) else { fail(&corpus, &input, &run) };
        if kinds.insert(kind) && pool.len() < MAX_POOL {
            if keep {
                corpus.add(&input);
            }
            pool.push(input);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

fn inputs() -> u64 {
    let long = std::env::var("PARK_TEST_LONG").is_ok_and(|long| long == "yes");
    number("PARK_FUZZ_INPUTS").unwrap_or(if long { INPUTS * LONG_TIMES } else { INPUTS })
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

thread_local! {
    /// A panic of a target is this crate's to tell.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What kind of input it is; none when the target panicked.
fn kind_of<K: Hash>(input: &[u8], run: &impl Fn(&[u8]) -> K) -> Option<u64> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    QUIET.set(true);
    let kind = panic::catch_unwind(AssertUnwindSafe(|| hash(&run(input))));
    QUIET.set(false);
    kind.ok()
}

/// Makes the input shorter while the target still panics, keeps it, and lets the panic through.
fn fail<K: Hash>(corpus: &Corpus, input: &[u8], run: &impl Fn(&[u8]) -> K) -> ! {
    let mut input = input.to_vec();
    let mut attempts = 0;
    let mut part = input.len() / 2;
    while part > 0 && attempts < SHORTENINGS {
        let mut at = 0;
        while at < input.len() && attempts < SHORTENINGS {
            attempts += 1;
            let mut shorter = input.clone();
            shorter.drain(at..(at + part).min(input.len()));
            if kind_of(&shorter, run).is_none() {
                input = shorter;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    corpus.add(&input);
    let shown: String = input.escape_ascii().take(2_000).map(char::from).collect();
    let _ = run(&input);
    panic!(
        "the fuzz target {} panicked on b\"{shown}\" and then did not: it is not a function of its input",
        corpus.name()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_behind_two_checks_is_found_by_way_of_their_kinds() {
        let found = panic::catch_unwind(|| {
            // Three bytes among all: found within a hundred thousand inputs by nearly every seed.
            search("self-test", [b"hello world".to_vec()], 50 * INPUTS, |bytes| {
                let depth = [b'z', b'q', b'!'].iter().zip(bytes).take_while(|(a, b)| a == b).count();
                assert!(depth < 3, "the fault");
                depth
            });
        });
        let kept = Corpus::of("self-test").read();
        Corpus::of("self-test").remove();
        assert!(found.is_err());
        assert_eq!(kept, [b"zq!".to_vec()], "shortened and kept");
    }

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let run = || {
            let seen = std::cell::RefCell::new(Vec::new());
            target("self-test-seed", [b"seed".to_vec()], |bytes| {
                let mut seen = seen.borrow_mut();
                if seen.len() < 500 {
                    seen.push(bytes.to_vec());
                }
                bytes.len()
            });
            seen.into_inner()
        };
        assert_eq!(run(), run());
    }
}
