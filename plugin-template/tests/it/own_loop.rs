//! Plugins that bring tokio.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::ThreadId,
    time::Duration,
};

use patchbay_plugin::{
    Message, Plugin, PluginContext, PluginError, ProcessingStatus, Runtime,
    testing::{Lanes, MockHost, TestMessage},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::acts::{LANE, SHARED};

/// Talks to an echo server that it runs itself, from `init` on.
struct Net<const RUNTIME: u8> {
    context: PluginContext,
    client: tokio::sync::Mutex<Option<TcpStream>>,
    threads: Mutex<Vec<ThreadId>>,
    in_background: std::sync::Arc<AtomicUsize>,
}

impl<const RUNTIME: u8> Plugin for Net<RUNTIME> {
    const RUNTIME: Runtime = match RUNTIME {
        LANE => Runtime::Lane,
        _ => Runtime::Shared,
    };

    fn new(context: PluginContext) -> Result<Self, PluginError> {
        Ok(Net {
            context,
            client: tokio::sync::Mutex::default(),
            threads: Mutex::default(),
            in_background: std::sync::Arc::default(),
        })
    }

    fn name(&self) -> &str {
        &self.context.plugin_name
    }

    async fn init(&self) -> Result<(), PluginError> {
        let server = TcpListener::bind("127.0.0.1:0").await?;
        let address = server.local_addr()?;
        tokio::spawn(async move {
            let (mut client, _) = server.accept().await?;
            let (mut read, mut write) = client.split();
            tokio::io::copy(&mut read, &mut write).await
        });
        *self.client.lock().await = Some(TcpStream::connect(address).await?);
        Ok(())
    }

    async fn process_message(
        &self,
        topic: &str,
        message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        self.threads.lock().unwrap().push(std::thread::current().id());
        match topic {
            "echo" => {
                let mut client = self.client.lock().await;
                let client = client.as_mut().ok_or_else(|| PluginError::transient("no client"))?;
                client.write_all(message.payload()).await?;
                let mut back = vec![0; message.payload().len()];
                client.read_exact(&mut back).await?;
                self.context.publish("echoed", back).await?;
            }
            "sleep" => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.context.sleep(Duration::from_millis(1)).await?;
            }
            "late" => {
                tokio::time::timeout(Duration::from_millis(5), std::future::pending::<()>())
                    .await?;
            }
            "spawn" => {
                let (context, cause) = (self.context.clone(), message.clone());
                let count = self.in_background.clone();
                tokio::spawn(async move {
                    let text = context.message_builder().topic("spawned").text("later");
                    let sent = text.cause(&cause).publish().await;
                    count.fetch_add(usize::from(sent.is_ok()), Ordering::SeqCst);
                });
            }
            _ => tokio::task::yield_now().await,
        }
        Ok(ProcessingStatus::Acknowledged)
    }
}

async fn sockets_and_timers_work<const RUNTIME: u8>(lanes: u32) {
    let host = MockHost::new();
    let lanes = Lanes { count: lanes, ..Lanes::default() };
    let plugin = host.run_on::<Net<RUNTIME>>(lanes).unwrap();
    plugin.init().await.unwrap();
    let calls: Vec<_> = (0..20)
        .map(|number| {
            plugin.deliver(&TestMessage::new("echo").text(&format!("{number:02}")).build())
        })
        .collect();
    let sleeps: Vec<_> =
        (0..20).map(|_| plugin.deliver(&TestMessage::new("sleep").build())).collect();
    for call in calls.into_iter().chain(sleeps) {
        let handled = call.await;
        assert!(handled.is_acknowledged(), "{handled:?}");
    }
    let mut echoed: Vec<_> =
        host.published("echoed").iter().map(|m| m.text().unwrap().to_owned()).collect();
    echoed.sort();
    assert_eq!(echoed, (0..20).map(|number| format!("{number:02}")).collect::<Vec<_>>());

    let late = plugin.deliver(&TestMessage::new("late").build()).await;
    let patchbay_plugin::testing::Handled::Error(error) = late else { panic!("{late:?}") };
    assert_eq!(error.class(), patchbay_plugin::ErrorClass::Transient, "a timeout may pass");
    plugin.shutdown().await.unwrap();
}

#[tokio::test]
async fn sockets_and_timers_of_tokio_work_on_a_lane() {
    sockets_and_timers_work::<LANE>(1).await;
}

#[tokio::test]
async fn sockets_and_timers_of_tokio_work_on_lanes_that_share_a_runtime() {
    sockets_and_timers_work::<SHARED>(3).await;
}

#[tokio::test]
async fn handlers_of_a_shared_runtime_run_on_the_lanes_and_not_on_its_own_thread() {
    let host = MockHost::new();
    let lanes = Lanes { count: 2, ..Lanes::default() };
    let plugin = host.run_on::<Net<SHARED>>(lanes).unwrap();
    let calls: Vec<_> =
        (0..100).map(|_| plugin.deliver(&TestMessage::new("yield").build())).collect();
    for call in calls {
        assert!(call.await.is_acknowledged());
    }
    let mut threads = plugin.plugin().threads.lock().unwrap().clone();
    assert_eq!(threads.len(), 100);
    threads.sort_by_key(|thread| format!("{thread:?}"));
    threads.dedup();
    assert!(threads.len() <= 2, "{threads:?}");
}

async fn sockets_survive_a_pool_without_lanes<const RUNTIME: u8>() {
    let host = MockHost::new();
    let mut plugin = host.run::<Net<RUNTIME>>().unwrap();
    plugin.init().await.unwrap();
    for round in 0..3 {
        let message = TestMessage::new("echo").text(&format!("round {round}")).build();
        assert!(plugin.deliver(&message).await.is_acknowledged());
        plugin.change_lanes(Lanes { count: 1 + round % 2, ..Lanes::default() }).unwrap();
    }
    let echoed: Vec<_> =
        host.published("echoed").iter().map(|m| m.text().unwrap().to_owned()).collect();
    assert_eq!(echoed, ["round 0", "round 1", "round 2"]);
}

#[tokio::test]
async fn sockets_from_init_survive_a_pool_without_lanes() {
    sockets_survive_a_pool_without_lanes::<LANE>().await;
    sockets_survive_a_pool_without_lanes::<SHARED>().await;
}

#[tokio::test]
async fn a_spawned_task_publishes_with_back_pressure_and_names_its_cause() {
    for_spawned::<LANE>().await;
    for_spawned::<SHARED>().await;
}

async fn for_spawned<const RUNTIME: u8>() {
    let host = MockHost::new();
    host.transport.set_room(0);
    let plugin = host.run::<Net<RUNTIME>>().unwrap();
    let message = TestMessage::new("spawn").build();
    assert!(plugin.deliver(&message).await.is_acknowledged());
    assert!(plugin.deliver(&TestMessage::new("yield").build()).await.is_acknowledged());
    assert!(host.sent().is_empty());
    host.transport.set_room(1);
    let count = &plugin.plugin().in_background;
    crate::acts::until("the task has published", || count.load(Ordering::SeqCst) == 1);
    assert_eq!(host.sent()[0].cause, Some(message.id()));
}
