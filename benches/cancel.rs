//! How long a call goes on after it was cancelled, or after its deadline, while a registry keeps silent: measured at every
//! request of sign and verify, the worst case printed. `tests/tests/faults.rs` asserts that such a call ends; here it is timed.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use cosign_core::blocking::Client;
use cosign_core::{
    Call, Cancel, ClientOptions, Error, Format, ImageRef, KeyAlgorithm, Policy, PrivateKey, SignOptions, VerifyOptions,
};
use cosign_tests::registry::Registry;

struct World {
    registry: Registry,
    image: ImageRef,
    key: PrivateKey,
}

impl World {
    fn sign(&self, call: &Call) -> Result<(), Error> {
        let options = SignOptions { format: Format::Both, ..Default::default() };
        Client::new(ClientOptions::new())?.sign(&self.image, &self.key, &options, call).map(drop)
    }

    /// For a stranger, so that everything is read.
    fn verify(&self, call: &Call) -> Result<(), Error> {
        let stranger = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
        let policy = Policy::new().with_key(stranger.public_key());
        Client::new(ClientOptions::new())?.verify(&self.image, &policy, &VerifyOptions::default(), call).map(drop)
    }
}

/// The longest time from the end of `call` to the answer, over all requests that `operation` makes.
fn worst(world: &World, by_deadline: bool, operation: fn(&World, &Call) -> Result<(), Error>) -> (usize, Duration) {
    let start = world.registry.snapshot();
    let mark = world.registry.mark();
    let _ = operation(world, &Call::new());
    let requests = world.registry.since(mark).len();
    let mut worst = Duration::ZERO;
    for k in 0..requests {
        world.registry.heal();
        world.registry.restore(&start);
        let held = world.registry.hold_at("", k, usize::MAX);
        let cancel = Cancel::new();
        let mut call = Call::new().with_cancel(cancel.clone());
        if by_deadline {
            call = call.with_timeout(Duration::from_millis(300));
        }
        let (asked, ended) = std::thread::scope(|scope| {
            let call = &call;
            let running = scope.spawn(move || {
                operation(world, call).unwrap_err();
                Instant::now()
            });
            let asked = match call.deadline() {
                Some(deadline) => deadline,
                None => {
                    held.wait_for(1);
                    let asked = Instant::now();
                    cancel.cancel();
                    asked
                }
            };
            (asked, running.join().unwrap())
        });
        worst = worst.max(ended.saturating_duration_since(asked));
    }
    world.registry.restore(&start);
    (requests, worst)
}

fn main() {
    let registry = Registry::start();
    registry.add_image("team/app", "v1");
    let image = ImageRef::parse(&format!("{}/team/app:v1", registry.host())).unwrap();
    let world = World { registry, image, key: PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap() };
    world.sign(&Call::new()).unwrap();
    println!("a registry falls silent at each request: the longest wait for the end of the call (bound: 50 ms)");
    let mut late = false;
    for (name, operation) in
        [("sign", World::sign as fn(&World, &Call) -> Result<(), Error>), ("verify", World::verify)]
    {
        for (what, by_deadline) in [("cancel", false), ("deadline", true)] {
            let (requests, worst) = worst(&world, by_deadline, operation);
            println!(
                "  {:<40} {:>6.1} ms",
                format!("{name}, {what}, {requests} requests"),
                worst.as_secs_f64() * 1000.0
            );
            late |= worst > Duration::from_millis(50);
        }
    }
    std::process::exit(i32::from(late));
}
