//! Connections themselves: silent ones, idle ones, and the end.

use crate::park::Park;
use api::ServeOptions;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(20);

async fn serve(park: &Park, options: ServeOptions) -> (SocketAddr, JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(api::serve(listener, park.router.clone(), options, park.shutdown.clone())))
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server ends it").unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_connection_that_asks_nothing_or_half_is_let_go() {
    let park = Park::open().await;
    let options = ServeOptions { head_within: Duration::from_millis(100), ..Default::default() };
    let (address, _) = serve(&park, options).await;
    for sent in ["", "GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        assert_eq!(read_to_end(&mut stream).await, "", "{sent:?}");
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_the_loop() {
    let park = Park::open().await;
    let (address, serving) = serve(&park, ServeOptions::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    park.shutdown.cancel();
    read_to_end(&mut stream).await;
    timeout(PATIENCE, serving).await.expect("the loop ends").unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn garbage_is_answered_and_ended() {
    let park = Park::open().await;
    let (address, _) = serve(&park, ServeOptions::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"\x16\x03\x01 hello over there\r\n\r\n").await.unwrap();
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 400"));
}
