//! A way to a service that can be cut, stopped and slowed.

use crate::dice::Dice;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Passes TCP connections on to a service. Ends, with all connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    connections: Connections,
    _tasks: JoinSet<()>,
}

/// Those that are open, the oldest first.
type Connections = Arc<Mutex<Vec<AbortHandle>>>;

/// What happens to connections now.
#[derive(Clone, Copy, Debug)]
struct Weather {
    target: SocketAddr,
    /// Connections of an earlier one are cut.
    generation: u64,
    refuse: bool,
    blackhole: bool,
    latency: Duration,
}

impl Proxy {
    /// Listens on a free port of this machine.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        Self::start_on(0, target).await
    }

    /// Listens on this port of this machine.
    pub async fn start_on(port: u16, target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let (blackhole, refuse, latency) = (false, false, Duration::ZERO);
        let (weather, view) = watch::channel(Weather { target, generation: 0, refuse, blackhole, latency });
        let connections = Connections::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, view, Arc::clone(&connections)));
        Ok(Self { address, weather, connections, _tasks: tasks })
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks all connections; new ones are passed on again.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.generation += 1);
    }

    /// Breaks each connection with one chance in two, at least one; tells how many.
    pub fn cut_some(&self, dice: &mut Dice) -> usize {
        let mut connections = self.connections.lock().unwrap();
        connections.retain(|connection| !connection.is_finished());
        let mut cut: Vec<&AbortHandle> = connections.iter().filter(|_| dice.one_in(2)).collect();
        if cut.is_empty() {
            cut.extend(connections.first());
        }
        cut.iter().for_each(|connection| connection.abort());
        cut.len()
    }

    /// While it is on, connections are closed as soon as they are made, and there are none.
    pub fn refuse(&self, on: bool) {
        self.weather.send_modify(|weather| {
            weather.refuse = on;
            weather.generation += 1;
        });
    }

    /// While it is on, connections stay and nothing goes through, as with a cable that is cut. Then it goes through.
    pub fn blackhole(&self, on: bool) {
        self.weather.send_modify(|weather| weather.blackhole = on);
    }

    /// What comes at once is passed on after this time, in both directions.
    pub fn latency(&self, latency: Duration) {
        self.weather.send_modify(|weather| weather.latency = latency);
    }

    /// Connections from now on go elsewhere; those that are there are cut.
    pub fn retarget(&self, target: SocketAddr) {
        self.weather.send_modify(|weather| {
            weather.target = target;
            weather.generation += 1;
        });
    }
}

async fn serve(listener: TcpListener, weather: watch::Receiver<Weather>, handles: Connections) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                let handle = connections.spawn(pass_on(client, weather.clone()));
                let mut handles = handles.lock().unwrap();
                handles.retain(|handle| !handle.is_finished());
                handles.push(handle);
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass_on(mut client: TcpStream, mut weather: watch::Receiver<Weather>) {
    let Weather { target, generation, refuse, .. } = *weather.borrow_and_update();
    if refuse {
        return;
    }
    let Ok(mut service) = TcpStream::connect(target).await else { return };
    for stream in [&client, &service] {
        let _ = stream.set_nodelay(true);
    }
    let (from_client, to_client) = client.split();
    let (from_service, to_service) = service.split();
    // Either end ends both.
    tokio::select! {
        _ = pump(from_client, to_service, weather.clone()) => {}
        _ = pump(from_service, to_client, weather.clone()) => {}
        _ = weather.wait_for(|now| now.generation != generation) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    let mut block = vec![0; 64 << 10];
    loop {
        let length = from.read(&mut block).await?;
        if length == 0 {
            return Ok(());
        }
        if weather.wait_for(|now| !now.blackhole).await.is_err() {
            return Ok(());
        }
        let latency = weather.borrow().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        to.write_all(block.get(..length).unwrap_or_default()).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, timeout};

    /// A service that answers with what it gets.
    async fn echo() -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                clients.spawn(async move {
                    let (mut read, mut write) = client.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        (address, tasks)
    }

    async fn ask(stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_all(b"?").await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn passes_on_cuts_stops_and_slows() {
        let (service, _service) = echo().await;
        let proxy = Proxy::start(service).await.unwrap();
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut client).await.unwrap(), b'?');

        proxy.latency(Duration::from_millis(40));
        let begun = Instant::now();
        ask(&mut client).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(80));
        proxy.latency(Duration::ZERO);

        proxy.blackhole(true);
        assert!(timeout(Duration::from_millis(100), ask(&mut client)).await.is_err());
        proxy.blackhole(false);
        assert_eq!(client.read_u8().await.unwrap(), b'?');

        proxy.cut();
        assert!(ask(&mut client).await.is_err());
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut client).await.unwrap(), b'?');

        assert_eq!(proxy.cut_some(&mut Dice::new(1)), 1);
        assert!(ask(&mut client).await.is_err());
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut client).await.unwrap(), b'?');

        proxy.refuse(true);
        assert!(ask(&mut client).await.is_err());
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(ask(&mut refused).await.is_err());
        proxy.refuse(false);
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut client).await.unwrap(), b'?');
    }
}
