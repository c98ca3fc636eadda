//! The link's own thread: waits for the wire, for wishes and for time, whichever comes first.

use super::{LinkConfig, Mailbox, NetCommand, link::Link, transport::WebTransport};
use crate::clock::local_now;
use crossbeam_channel::{Receiver, bounded, select};
use std::{io, time::Duration};

/// Events waiting between the socket's thread and the link's; when full, the socket is not read.
const WIRE_EVENTS: usize = 256;
const TICK: Duration = Duration::from_millis(100);

/// Starts the thread; it ends when the client's end of `commands` is dropped.
pub(super) fn spawn(config: LinkConfig, commands: Receiver<NetCommand>, mailbox: Mailbox) -> io::Result<()> {
    std::thread::Builder::new().name("link".into()).spawn(move || {
        let (sender, wire) = bounded(WIRE_EVENTS);
        let mut link = Link::new(config, WebTransport::new(sender));
        let mut out = |event| mailbox.put(event);
        link.start(local_now(), &mut out);
        loop {
            select! {
                recv(wire) -> event => match event {
                    Ok(event) => link.handle(event, local_now(), &mut out),
                    Err(_) => break,
                },
                recv(commands) -> command => match command {
                    Ok(command) => link.command(command, local_now(), &mut out),
                    Err(_) => break,
                },
                default(TICK) => {}
            }
            link.tick(local_now(), &mut out);
        }
    })?;
    Ok(())
}
