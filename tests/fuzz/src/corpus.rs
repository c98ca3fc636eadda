//! A target's kept inputs: one a line, escaped, so that a reviewer can read them.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

pub(crate) struct Corpus {
    name: String,
    path: PathBuf,
}

impl Corpus {
    pub(crate) fn of(name: &str) -> Corpus {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format!("{name}.txt"));
        Corpus { name: name.to_owned(), path }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn read(&self) -> Vec<Vec<u8>> {
        match fs::read_to_string(&self.path) {
            Ok(text) => text.lines().map(unescape).collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => panic!("{}: {error}", self.path.display()),
        }
    }

    pub(crate) fn add(&self, input: &[u8]) {
        if self.read().iter().any(|known| known == input) {
            return;
        }
        let folder = self.path.parent().map_or(Ok(()), fs::create_dir_all);
        let file = folder.and_then(|()| OpenOptions::new().append(true).create(true).open(&self.path));
        let added = file.and_then(|mut file| writeln!(file, "{}", input.escape_ascii()));
        if let Err(error) = added {
            panic!("{}: {error}", self.path.display());
        }
    }

    #[cfg(test)]
    pub(crate) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b'x') => {
                let digits = [rest.next(), rest.next()].map(|d| d.and_then(|d| char::from(d).to_digit(16)));
                let [Some(high), Some(low)] = digits else { panic!("a bad escape in {line}") };
                (high * 16 + low) as u8
            }
            Some(other) => other,
            None => panic!("a bad escape in {line}"),
        });
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(unescape(&all.escape_ascii().to_string()), all);
    }
}
