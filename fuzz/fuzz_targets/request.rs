//! A request of one API, `FUZZ_API` (its name in the table): a byte that chooses the version, then the body. With `FUZZ_LIST` the
//! names are printed and nothing is done.
#![no_main]

use std::sync::OnceLock;

use broker::api::table::{Api, APIS};
use broker::net::{Charge, Protocol, Reply};
use bytes::{BufMut, BytesMut};
use libfuzzer_sys::fuzz_target;
use pg_kafka_fuzz::{peer, run, World};

static API: OnceLock<&'static Api> = OnceLock::new();

fn choose() {
    if std::env::var_os("FUZZ_LIST").is_some() {
        APIS.iter().for_each(|api| println!("{}", api.name));
        std::process::exit(0);
    }
    let name = std::env::var("FUZZ_API").unwrap_or_default();
    let api = APIS.iter().find(|api| api.name == name);
    let api = api.unwrap_or_else(|| panic!("FUZZ_API={name} is no API of the table"));
    API.get_or_init(|| api);
}

fuzz_target!(init: choose(), |data: &[u8]| {
    let (Some(api), Some((choice, body))) = (API.get(), data.split_first()) else {
        return;
    };
    let versions: Vec<i16> = api.served.iter().collect();
    let version = versions[usize::from(*choice) % versions.len()];
    let mut frame = BytesMut::new();
    frame.put_i16(api.key.code());
    frame.put_i16(version);
    frame.put_i32(0x0102_0304);
    frame.put_i16(-1);
    if api.header_versions(version).0 >= 2 {
        frame.put_u8(0);
    }
    frame.put_slice(body);
    let frame = frame.freeze();
    run(async {
        let world = World::new().await;
        let reply = world
            .serve(async { world.dispatcher.clone().start(&peer(), frame, Charge::none()).await })
            .await;
        match reply {
            Reply::Frame { chunks, .. } => {
                let first = chunks.first().and_then(|chunk| chunk.first_chunk());
                assert_eq!(first, Some(&[1, 2, 3, 4]), "the correlation id");
            }
            Reply::Nothing => assert_eq!(api.name, "Produce", "only acks=0 is owed no answer"),
            Reply::Close(reason) => assert!(!reason.contains("could not be encoded"), "{reason}"),
        }
    });
});
