//! A way to a service that can be cut and slowed, between the roles and RabbitMQ or Redis.

use crate::dice::Dice;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Passes TCP connections on to a port of this machine. Ends, with all connections, when it is dropped.
pub struct Proxy {
    port: u16,
    delay: watch::Sender<Option<Duration>>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub async fn start(listen: u16, target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, listen)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (delay, view) = watch::channel(Some(Duration::ZERO));
        let connections = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, (Ipv4Addr::LOCALHOST, target).into(), view, Arc::clone(&connections)));
        Self { port, delay, connections, _tasks: tasks }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks each connection with one chance in two, at least one; tells how many.
    pub fn cut(&self, dice: &mut Dice) -> usize {
        let mut connections = self.connections.lock().unwrap();
        connections.retain(|connection| !connection.is_finished());
        let mut cut: Vec<&AbortHandle> = connections.iter().filter(|_| dice.one_in(2)).collect();
        if cut.is_empty() {
            cut.extend(connections.first());
        }
        cut.iter().for_each(|connection| connection.abort());
        cut.len()
    }

    /// What comes is passed on after this time; `None`: not at all, as with a cable that is cut, until it is set anew.
    pub fn delay(&self, delay: Option<Duration>) {
        self.delay.send_replace(delay);
    }
}

async fn serve(
    listener: TcpListener,
    target: SocketAddr,
    delay: watch::Receiver<Option<Duration>>,
    handles: Arc<Mutex<Vec<AbortHandle>>>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                let handle = connections.spawn(pass_on(client, target, delay.clone()));
                let mut handles = handles.lock().unwrap();
                handles.retain(|handle| !handle.is_finished());
                handles.push(handle);
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass_on(mut client: TcpStream, target: SocketAddr, delay: watch::Receiver<Option<Duration>>) {
    let Ok(mut service) = TcpStream::connect(target).await else { return };
    for stream in [&client, &service] {
        let _ = stream.set_nodelay(true);
    }
    let (from_client, to_client) = client.split();
    let (from_service, to_service) = service.split();
    // Either end ends both.
    tokio::select! {
        () = pump(from_client, to_service, delay.clone()) => {}
        () = pump(from_service, to_client, delay) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut delay: watch::Receiver<Option<Duration>>,
) {
    let mut block = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut block).await {
        let Ok(pause) = delay.wait_for(Option::is_some).await.map(|delay| delay.unwrap_or_default()) else {
            return;
        };
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        if to.write_all(&block[..length]).await.is_err() {
            return;
        }
    }
}
