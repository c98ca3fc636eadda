//! What gateways keep in PostgreSQL: every payload once, in order, until it is forgotten.

use frames::{FrameReader, FrameWriter, Payload, WriterOptions};
use futures::future::join_all;
use park_tests::Database;
use std::time::Duration;

fn payload(number: i64, bytes: usize) -> Payload {
    Payload { topic: format!("device/d-{number}/data"), received_ms: number, bytes: vec![7; bytes] }
}

/// Reads until `count` payloads came; their numbers in order.
async fn numbers(reader: &mut FrameReader, count: usize) -> anyhow::Result<Vec<i64>> {
    let mut read = Vec::new();
    while read.len() < count {
        for frame in reader.next().await? {
            read.extend(frame.payloads.iter().map(|p| p.received_ms));
        }
    }
    Ok(read)
}

#[tokio::test]
async fn what_many_callers_keep_is_read_in_order_and_in_few_commits() -> anyhow::Result<()> {
    let Some(database) = Database::fresh()? else { return Ok(()) };
    let (writer, _) = FrameWriter::open(&database.url(), WriterOptions::default()).await?;
    let mut reader = FrameReader::open(&database.url()).await?;
    for kept in join_all((0..500).map(|number| writer.keep(payload(number, 20)))).await {
        kept?;
    }
    let mut frames = Vec::new();
    while frames.iter().map(|f: &frames::Frame| f.payloads.len()).sum::<usize>() < 500 {
        frames.extend(reader.next().await?);
    }
    assert!(frames.len() < 100, "{} commits for 500 payloads", frames.len());
    let seqs: Vec<i64> = frames.iter().map(|f| f.seq).collect();
    assert_eq!(seqs, (1..=frames.len() as i64).collect::<Vec<_>>());
    let read: Vec<i64> = frames.iter().flat_map(|f| &f.payloads).map(|p| p.received_ms).collect();
    assert_eq!(read, (0..500).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn what_is_not_forgotten_is_read_again() -> anyhow::Result<()> {
    let Some(database) = Database::fresh()? else { return Ok(()) };
    let (writer, _) = FrameWriter::open(&database.url(), WriterOptions::default()).await?;
    let (other, _) = FrameWriter::open(&database.url(), WriterOptions::default()).await?;
    assert_ne!(writer.number(), other.number());
    let mut reader = FrameReader::open(&database.url()).await?;
    writer.keep(payload(1, 1)).await?;
    let mut taken = frames::Position::default();
    for frame in reader.next().await? {
        taken.pass(&frame);
    }
    writer.keep(payload(2, 1)).await?;
    assert_eq!(numbers(&mut reader, 1).await?, [2]);
    reader.rewind(&taken);
    assert_eq!(numbers(&mut reader, 1).await?, [2], "what was read and not taken comes again");

    assert_eq!(reader.forget(&taken).await?, 1);
    drop(reader);
    other.keep(payload(3, 1)).await?;
    let mut reader = FrameReader::open(&database.url()).await?;
    let mut again = numbers(&mut reader, 2).await?;
    again.sort_unstable();
    assert_eq!(again, [2, 3], "another reader starts after what was forgotten");
    Ok(())
}

#[tokio::test]
async fn a_writer_takes_no_more_than_its_limit_until_something_is_forgotten() -> anyhow::Result<()> {
    let Some(database) = Database::fresh()? else { return Ok(()) };
    let options = WriterOptions {
        limit_bytes: 1_000,
        longest_pause: Duration::from_millis(20),
        ..WriterOptions::default()
    };
    let (writer, _) = FrameWriter::open(&database.url(), options).await?;
    let mut reader = FrameReader::open(&database.url()).await?;
    writer.keep(payload(1, 2_000)).await?;
    let second = tokio::spawn({
        let writer = writer.clone();
        async move { writer.keep(payload(2, 2_000)).await }
    });
    let mut taken = frames::Position::default();
    for frame in reader.next().await? {
        taken.pass(&frame);
    }
    let more = tokio::time::timeout(Duration::from_millis(200), reader.next()).await;
    assert!(more.is_err() && !second.is_finished(), "it kept more than its limit");
    reader.forget(&taken).await?;
    second.await??;
    assert_eq!(numbers(&mut reader, 1).await?, [2]);
    Ok(())
}

#[tokio::test]
async fn a_frame_that_is_none_is_named_and_kept() -> anyhow::Result<()> {
    let Some(database) = Database::fresh()? else { return Ok(()) };
    let mut reader = FrameReader::open(&database.url()).await?;
    database.run("INSERT INTO ingest_frames VALUES (77, 5, '\\x0901')")?;
    let error = reader.next().await.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(error.contains("frame 5 of writer 77") && error.contains("format 9"), "{error}");
    assert!(reader.next().await.is_err(), "it was left out");
    Ok(())
}

#[tokio::test]
async fn an_address_that_is_none_shows_no_password() -> anyhow::Result<()> {
    for address in ["sqlite://park.db", "postgres://u:hunter2@127.0.0.1:1/park"] {
        let Err(error) = FrameReader::open(address).await else { anyhow::bail!("{address} answered") };
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    Ok(())
}
