//! The blocking client, used from several threads at once.

use cosign_core::blocking::Client;
use cosign_core::{Call, Cancel, ClientOptions, Code, ImageRef};
use cosign_tests::registry::{Fault, Registry};

#[test]
fn a_thread_that_waits_does_not_hold_up_another() {
    let registry = Registry::start();
    registry.add_image("slow/app", "v1");
    registry.add_image("team/app", "v1");
    registry.fault("/v2/slow/", Fault::Stall);
    let client = Client::new(ClientOptions::new()).unwrap();
    let reference = |name: &str| ImageRef::parse(&format!("{}/{name}:v1", registry.host())).unwrap();
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.resolve(&reference("slow/app"), &Call::new().with_cancel(cancel.clone())));
        while registry.log().is_empty() {
            std::thread::yield_now();
        }
        // The first thread sits in the runtime until it is cancelled; this one must get through meanwhile, twice: with a
        // connection of its own, and with one that waited in the pool.
        for _ in 0..2 {
            client.resolve(&reference("team/app"), &Call::new()).unwrap();
        }
        cancel.cancel();
        assert_eq!(waiting.join().unwrap().unwrap_err().code(), Code::Cancelled);
    });
    // The thread that drove the sockets has gone; another takes over.
    client.resolve(&reference("team/app"), &Call::new()).unwrap();
}
