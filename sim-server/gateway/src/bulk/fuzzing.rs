//! What comes in bulk, of any bytes: refused or read, never a panic, and the same wherever the chunks are cut.

use super::{
    inflate::Inflate,
    line_protocol::{FieldValue, Point},
    lines::{Line, LineEnds, Lines},
    ndjson::Run,
};
use bytes::Bytes;
use serde::de::IgnoredAny;
use shared::telemetry::Refusal;

/// The kind of a refusal: its code and message, numbers and what is quoted aside.
fn kind(refusal: &Refusal) -> String {
    let unquoted = refusal.message.split('"').step_by(2);
    let text: String = unquoted.flat_map(str::chars).filter(|c| !c.is_ascii_digit()).collect();
    format!("{} {text}", refusal.code.as_str())
}

#[test]
fn fuzzed_import_lines_are_refused_or_read_as_json() {
    let seeds = [
        r#"{"metric":{"__name__":"power","device":"pv-01","job":"x"},"values":[1,-2.5,1e3,null,true,"idle"],"timestamps":[1780000000000,2,3,4,5,6]}"#,
        r#"{"timestamps":[],"values":[],"metric":{"device":"pv\u002d01","__name__":"power"},"more":{"a":[1,{}]}}"#,
    ];
    park_fuzz::target("import-lines", seeds.map(|line| line.as_bytes().to_vec()), |bytes| {
        let mut run = Run::default();
        match run.parse(bytes) {
            Err(refusal) => (kind(&refusal), 0, 0),
            Ok(()) => {
                if let Err(error) = serde_json::from_slice::<IgnoredAny>(bytes) {
                    assert!(error.to_string().starts_with("recursion"), "read, but it is no JSON: {error}");
                }
                assert_eq!(run.values.len(), run.timestamps.len());
                assert!(run.values.iter().all(|value| value.is_finite()));
                assert!(run.words.iter().all(|(at, _)| *at < run.values.len()));
                (String::new(), run.values.len().min(8), run.words.len().min(2) + 4 * run.skipped.min(2))
            }
        }
    });
}

#[test]
fn fuzzed_line_protocol_is_refused_or_read() {
    let seeds = [
        "power,device=pv-01 value=-12.5 1780000000000000000",
        r#"my\ m\,x,host=a\ b,t\=x=y v=1i,u=2u,b=t,s="a \"q\" \\",e=1e-3"#,
        "# a comment",
    ];
    park_fuzz::target(
        "line-protocol",
        seeds.map(|line| line.as_bytes().to_vec()),
        |bytes| match Point::parse(bytes) {
            Err(refusal) => (kind(&refusal), 0, 0),
            Ok(None) => ("nothing".to_owned(), 0, 0),
            Ok(Some(point)) => {
                assert!(!point.fields.is_empty() && !point.measurement.is_empty());
                let kinds = point.fields.iter().map(|(_, value)| match value {
                    FieldValue::Float(value) => {
                        assert!(value.is_finite());
                        1
                    }
                    FieldValue::Integer(_) => 2,
                    FieldValue::Unsigned(_) => 4,
                    FieldValue::Boolean(_) => 8,
                    FieldValue::Text(_) => 16,
                });
                let kinds = kinds.fold(0, |all, kind| all | kind);
                (String::new(), kinds, point.tags.len().min(3) + 4 * usize::from(point.timestamp.is_some()))
            }
        },
    );
}

#[test]
fn fuzzed_gzip_is_refused_or_inflated_and_cut_into_lines() {
    use std::io::Write;
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
        written.unwrap()
    };
    let seeds = ["m v=1\nm v=\"a\nb\"\n", "", "\n\r\n\n", &"m v=1\n".repeat(500)].map(gzip);
    park_fuzz::target("gzip-lines", seeds, |bytes| {
        let (mut inflate, mut lines) = (Inflate::new(), Lines::new(LineEnds::OutsideQuotes, 100));
        let mut compressed = Bytes::copy_from_slice(bytes);
        let mut told = (0, 0);
        let mut count = |lines: &mut Lines| {
            while let Some((number, line)) = lines.next() {
                assert_eq!(number, told.0 + told.1 + 1);
                match line {
                    Line::Whole(line) => {
                        assert!(line.len() <= 100);
                        told.0 += 1;
                    }
                    Line::TooLong => told.1 += 1,
                }
            }
        };
        while !compressed.is_empty() {
            let Ok(plain) = inflate.take(&mut compressed) else { return (1, 0, 0) };
            lines.feed(plain);
            count(&mut lines);
        }
        let Ok(rest) = inflate.finish() else { return (2, 0, 0) };
        lines.feed(rest);
        count(&mut lines);
        (3, told.0.min(4), told.1.min(4))
    });
}
