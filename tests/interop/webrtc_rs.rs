//! The client of the `turn` crate, which is webrtc-rs's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn as _;

use super::harness::{Echo, Login, REALM, Server};

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_binding_request_tells_the_client_its_address() {
    let server = Server::start(Login::User);
    let (client, local) = client(&server, Login::User).await;
    let mapped = timeout(WITHIN, client.send_binding_request()).await.unwrap().unwrap();
    assert_eq!(mapped, local);
    client.close().await.unwrap();
}

#[tokio::test]
async fn an_allocation_relays_both_ways() {
    let server = Server::start(Login::User);
    echoes(&server, Login::User).await;
}

#[tokio::test]
async fn credentials_from_the_shared_secret_are_taken() {
    let server = Server::start(Login::Secret);
    echoes(&server, Login::Secret).await;
}

/// Allocates, and sends and receives until the client has gone over from indications to a channel.
async fn echoes(server: &Server, login: Login) {
    let (client, _) = client(server, login).await;
    let relay = timeout(WITHIN, client.allocate()).await.unwrap().unwrap();
    let echo = Echo::start(server.plain().ip());
    let mut buffer = [0; 2048];
    for number in 0..50_u32 {
        let message = number.to_be_bytes();
        timeout(WITHIN, relay.send_to(&message, echo.address)).await.unwrap().unwrap();
        let (len, from) = timeout(WITHIN, relay.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((&buffer[..len], from), (&message[..], echo.address));
    }
    relay.close().await.unwrap();
    client.close().await.unwrap();
}

/// A client that listens, and its own address.
async fn client(server: &Server, login: Login) -> (Client, SocketAddr) {
    let socket = UdpSocket::bind((server.plain().ip(), 0)).await.unwrap();
    let local = socket.local_addr().unwrap();
    let (username, password) = login.credentials();
    let config = ClientConfig {
        stun_serv_addr: server.plain().to_string(),
        turn_serv_addr: server.plain().to_string(),
        username,
        password,
        realm: REALM.to_owned(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(socket),
        vnet: None,
    };
    let client = Client::new(config).await.unwrap();
    client.listen().await.unwrap();
    (client, local)
}
