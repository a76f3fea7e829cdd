//! zenoh within one process: publisher and subscriber in one session, through a FIFO channel.

use patchbay_measure::{entry::Outcome, work::Kind};
use zenoh::{Config, Wait, handlers::FifoChannel};

use crate::crew::Crew;

const CAPACITY: usize = 1024;
const KEY: &str = "bench/topic";

pub(crate) fn fifo(crew: &Crew, name: &str) -> Outcome<()> {
    let work = crew.work;
    crew.only(name, work.kind == Kind::Flow && work.keys == 0)?;
    let mut config = Config::default();
    for (key, value) in
        [("scouting/multicast/enabled", "false"), ("listen/endpoints", "[]"), ("mode", "\"peer\"")]
    {
        config.insert_json5(key, value).map_err(|error| error.to_string())?;
    }
    let _inside = crew.runtime.enter();
    let session = zenoh::open(config).wait().map_err(|error| error.to_string())?;
    for _ in 0..work.consumers {
        let consumer = crew.consumer();
        let subscriber = session
            .declare_subscriber(KEY)
            .with(FifoChannel::new(CAPACITY))
            .wait()
            .map_err(|error| error.to_string())?;
        crew.runtime.spawn(async move {
            while let Ok(sample) = subscriber.recv_async().await {
                consumer.finish(&sample.payload().to_bytes());
            }
        });
    }
    for n in 0..work.publishers {
        let (session, mut source) = (session.clone(), crew.source(n));
        std::thread::spawn(move || {
            let Ok(publisher) = session.declare_publisher(KEY).wait() else { return };
            while source.make().is_some() {
                if publisher.put(source.payload().to_vec()).wait().is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}
