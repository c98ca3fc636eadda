//! A network in memory: delays, pieces, partitions, and connections cut so that one end, the other or both notice.
//!
//! Bytes of a connection arrive in order, as TCP's do; those of different connections overtake each other.

use crate::{
    life::Life,
    trace::{Trace, note},
};
use bytes::Bytes;
use gateway::Line;
use parking_lot::Mutex;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
    time::{Instant, Sleep},
};

/// Bytes a direction holds before its writer waits.
const WINDOW_BYTES: usize = 16 * 1024;
/// Who connects into a partition gives up after this.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Device,
    Server,
}

/// Who notices that a connection is cut. Who does not goes on writing into nothing, and reads what was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notices {
    Device,
    Server,
    Both,
}

pub(crate) struct Network {
    life: Arc<Life>,
    door: mpsc::Sender<Box<dyn Line>>,
    state: Mutex<State>,
}

struct State {
    rng: ChaCha8Rng,
    connections: Vec<Connection>,
    /// For each device, until when nothing gets through.
    partitioned_until: Vec<Instant>,
    /// Everything takes so many times as long.
    slowness: u32,
}

struct Connection {
    device: usize,
    /// What goes to the device, and to the server.
    pipes: [Pipe; 2],
    is_over: [bool; 2],
}

struct Pipe {
    chunks: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    last_due: Instant,
    has_ended: bool,
    /// What is written vanishes.
    leads_nowhere: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn new() -> Pipe {
        Pipe {
            chunks: VecDeque::new(),
            bytes: 0,
            last_due: Instant::now(),
            has_ended: false,
            leads_nowhere: false,
            reader: None,
            writer: None,
        }
    }

    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

impl Network {
    /// `door` is where the server is told of connections.
    pub(crate) fn new(
        life: Arc<Life>,
        door: mpsc::Sender<Box<dyn Line>>,
        devices: usize,
        rng: ChaCha8Rng,
    ) -> Arc<Network> {
        let partitioned_until = vec![Instant::now(); devices];
        let state = State { rng, connections: Vec::new(), partitioned_until, slowness: 1 };
        Arc::new(Network { life, door, state: Mutex::new(state) })
    }

    pub(crate) fn trace(&self) -> &Trace {
        &self.life.trace
    }

    pub(crate) async fn connect(self: &Arc<Self>, device: usize) -> io::Result<End> {
        let wait = {
            let mut state = self.state.lock();
            let is_partitioned = state.partitioned_until[device] > Instant::now();
            if is_partitioned { None } else { Some(state.latency()) }
        };
        let Some(latency) = wait else {
            tokio::time::sleep(CONNECT_PATIENCE).await;
            return Err(io::ErrorKind::TimedOut.into());
        };
        tokio::time::sleep(latency).await;
        let number = {
            let mut state = self.state.lock();
            state.connections.push(Connection {
                device,
                pipes: [Pipe::new(), Pipe::new()],
                is_over: [false; 2],
            });
            state.connections.len() - 1
        };
        note!(self.life.trace, "device {device} connects: {number}");
        let end = |side| End {
            network: self.clone(),
            number,
            side,
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
        };
        let refused = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
        self.door.send(Box::new(end(Side::Server))).await.map_err(refused)?;
        Ok(end(Side::Device))
    }

    pub(crate) fn partition(&self, device: usize, lasts: Duration) {
        let mut state = self.state.lock();
        let until = Instant::now() + lasts;
        note!(self.life.trace, "device {device} is cut off for {lasts:?}");
        state.partitioned_until[device] = until;
        for connection in state.connections.iter_mut().filter(|c| c.device == device) {
            for pipe in &mut connection.pipes {
                let now = Instant::now();
                pipe.chunks
                    .iter_mut()
                    .filter(|(due, _)| *due > now)
                    .for_each(|(due, _)| *due = (*due).max(until));
                pipe.last_due = pipe.last_due.max(until);
            }
        }
    }

    pub(crate) fn slow_down(&self, slowness: u32) {
        note!(self.life.trace, "slowness {slowness}");
        self.state.lock().slowness = slowness;
    }

    /// Cuts a device's connections.
    pub(crate) fn cut(&self, device: usize, notices: Notices) {
        note!(self.life.trace, "device {device}'s connection is cut, noticed by {notices:?}");
        let mut state = self.state.lock();
        for connection in state.connections.iter_mut().filter(|c| c.device == device) {
            for side in [Side::Device, Side::Server] {
                let notices = match notices {
                    Notices::Both => true,
                    Notices::Device => side == Side::Device,
                    Notices::Server => side == Side::Server,
                };
                if notices {
                    connection.is_over[side as usize] = true;
                } else {
                    // What this side writes goes nowhere from now on.
                    connection.pipes[1 - side as usize].leads_nowhere = true;
                }
            }
            connection.pipes.iter_mut().for_each(Pipe::wake);
        }
    }
}

impl State {
    fn latency(&mut self) -> Duration {
        let us = match self.rng.random_range(0..100) {
            0..90 => self.rng.random_range(100..10_000),
            90..99 => self.rng.random_range(10_000..300_000),
            _ => self.rng.random_range(300_000..3_000_000),
        };
        Duration::from_micros(us) * self.slowness
    }
}

/// One end of a connection.
pub(crate) struct End {
    network: Arc<Network>,
    number: usize,
    side: Side,
    sleep: Pin<Box<Sleep>>,
}

impl End {
    /// A dead process reads and writes nothing.
    fn is_dead(&self) -> bool {
        self.side == Side::Server && self.network.life.is_dead()
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_dead() {
            return Poll::Pending;
        }
        let network = self.network.clone();
        let mut state = network.state.lock();
        let connection = &mut state.connections[self.number];
        if connection.is_over[self.side as usize] {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let device = connection.device;
        let pipe = &mut connection.pipes[self.side as usize];
        loop {
            match pipe.chunks.front_mut() {
                Some((due, bytes)) if *due <= Instant::now() => {
                    let taken = bytes.split_to(bytes.len().min(buffer.remaining()));
                    if bytes.is_empty() {
                        pipe.chunks.pop_front();
                    }
                    buffer.put_slice(&taken);
                    pipe.bytes -= taken.len();
                    // What a device proves itself with is drawn by the system; its length is not.
                    let says_who = self.side == Side::Server && taken.first() == Some(&0x10);
                    let sum = if says_who { 0 } else { crc32c::crc32c(&taken) };
                    note!(
                        network.life.trace,
                        "{} {:?} {device} reads {} {sum:08x}",
                        self.number,
                        self.side,
                        taken.len()
                    );
                    if let Some(writer) = pipe.writer.take() {
                        writer.wake();
                    }
                    return Poll::Ready(Ok(()));
                }
                Some((due, _)) => {
                    let due = *due;
                    self.sleep.as_mut().reset(due);
                    if self.sleep.as_mut().poll(context).is_ready() {
                        continue;
                    }
                    pipe.reader = Some(context.waker().clone());
                    return Poll::Pending;
                }
                None if pipe.has_ended => return Poll::Ready(Ok(())),
                None => {
                    pipe.reader = Some(context.waker().clone());
                    return Poll::Pending;
                }
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.is_dead() {
            return Poll::Pending;
        }
        let mut state = self.network.state.lock();
        let (latency, piece) = (state.latency(), state.rng.random_range(1..2_000));
        let State { connections, partitioned_until, .. } = &mut *state;
        let connection = &mut connections[self.number];
        if connection.is_over[self.side as usize] {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let open_from = partitioned_until[connection.device];
        let pipe = &mut connection.pipes[1 - self.side as usize];
        if pipe.leads_nowhere || pipe.has_ended {
            return Poll::Ready(Ok(bytes.len()));
        }
        let room = WINDOW_BYTES.saturating_sub(pipe.bytes).min(piece).min(bytes.len());
        if room == 0 {
            pipe.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let due = pipe.last_due.max(Instant::now().max(open_from) + latency);
        pipe.last_due = due;
        pipe.bytes += room;
        pipe.chunks.push_back((due, Bytes::copy_from_slice(&bytes[..room])));
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(room))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_dead() {
            let mut state = self.network.state.lock();
            let pipe = &mut state.connections[self.number].pipes[1 - self.side as usize];
            pipe.has_ended = true;
            pipe.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.is_dead() {
            return;
        }
        let mut state = self.network.state.lock();
        let connection = &mut state.connections[self.number];
        let [to_device, to_server] = &mut connection.pipes;
        let (out, back) =
            if self.side == Side::Device { (to_server, to_device) } else { (to_device, to_server) };
        out.has_ended = true;
        back.leads_nowhere = true;
        back.chunks.clear();
        back.bytes = 0;
        out.wake();
        back.wake();
    }
}
