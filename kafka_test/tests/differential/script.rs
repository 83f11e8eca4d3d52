//! What a script is, and what it is written with.

use crate::allowed::{Exception, ALLOWED, UNORDERED};
use crate::codec::{bytes, uuid};
use crate::compare::{Comparison, Difference};
use crate::pair::{Both, Frame, Outcome, Pair, Parked};
use kafka_protocol::messages::{CreateTopicsRequest, FindCoordinatorRequest, InitProducerIdRequest};
use kafka_protocol::protocol::StrBytes;
use kafka_test::batch::Batch;
use kafka_test::consumer_group::{settle, ConsumerMember};
use kafka_test::groups::{await_coordinator, await_state};
use kafka_test::patience::{eventually, try_within, PATIENCE};
use kafka_test::requests::init_producer_id;
use kafka_test::topic::{creatable, unique_name};
use serde_json::{json, Value};
use std::collections::BTreeSet;

/// A sequence of requests that both servers get, at each version of one API.
pub struct Script {
    /// The API that it is about.
    pub api: &'static str,
    /// What it tries.
    pub name: &'static str,
    /// The versions it is for, of those that are advertised.
    pub versions: (i16, i16),
    /// The requests.
    pub run: fn(&mut Session),
}

impl Script {
    /// A script for all versions of an API.
    pub const fn new(api: &'static str, name: &'static str, run: fn(&mut Session)) -> Script {
        Script {
            api,
            name,
            versions: (0, i16::MAX),
            run,
        }
    }

    /// The same from a version on.
    pub const fn since(mut self, version: i16) -> Script {
        self.versions.0 = version;
        self
    }

    /// The same up to a version.
    pub const fn until(mut self, version: i16) -> Script {
        self.versions.1 = version;
        self
    }
}

/// A difference and the request whose replies have it.
pub struct Found {
    /// The script's API and name.
    pub script: String,
    /// What the request was about.
    pub step: String,
    /// API and version of the request.
    pub request: (String, i16),
    /// The difference.
    pub difference: Difference,
    /// The intended difference that explains it, for this request alone.
    pub exception: Option<&'static Exception>,
}

/// A request whose replies are awaited later.
pub struct Waiting {
    step: String,
    api: String,
    version: i16,
    parked: Parked,
}

/// One run of a script at one version.
pub struct Session<'a> {
    /// The version.
    pub version: i16,
    api: &'static str,
    /// API and name of the script.
    pub script: String,
    /// What the names of all topics of this run begin with.
    pub prefix: String,
    pair: &'a mut Pair,
    exceptions: &'static [Exception],
    /// All exceptions of this run.
    pub stated: Vec<&'static Exception>,
    /// What was found so far.
    pub found: Vec<Found>,
    /// API keys and versions that were sent.
    pub sent: BTreeSet<(i16, i16)>,
}

impl<'a> Session<'a> {
    /// A run of `script` at `version` over connections of its own.
    pub fn new(pair: &'a mut Pair, script: &Script, version: i16) -> Session<'a> {
        pair.reconnect();
        Session {
            version,
            api: script.api,
            script: format!("{} {}", script.api, script.name),
            prefix: unique_name(&format!("{}-v{version}", script.name.replace(' ', "-"))),
            pair,
            exceptions: &[],
            stated: Vec::new(),
            found: Vec::new(),
            sent: BTreeSet::new(),
        }
    }

    /// A topic's name that no other run uses, the same at both servers.
    pub fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.prefix)
    }

    /// A topic at both servers, ready for use, without comparing how it is made. Its id is [`Session::id`].
    pub fn topic(&mut self, suffix: &str, partitions: i32) -> String {
        self.topic_with(suffix, partitions, &[])
    }

    /// Like [`Session::topic`], known to the coordinators of groups as well: Apache Kafka's hears of a topic after its broker has, and
    /// who joins before is assigned nothing yet.
    pub fn topic_for_members(&mut self, suffix: &str, partitions: i32) -> String {
        self.ready_for_groups();
        let (name, group) = (self.topic(suffix, partitions), self.name("first"));
        for side in self.pair.each() {
            let topic = side.server.ready(&mut side.server.connect(), &name);
            let mut member = ConsumerMember::new(&side.server, &group);
            member.join(&[&topic]);
            settle(&mut [&mut member], &[partitions as usize]);
            assert_eq!(member.leave(), 0);
        }
        name
    }

    /// Like [`Session::topic`] with configs.
    pub fn topic_with(&mut self, suffix: &str, partitions: i32, configs: &[(&str, &str)]) -> String {
        let name = self.name(suffix);
        for side in self.pair.each() {
            let request = CreateTopicsRequest::default()
                .with_timeout_ms(30_000)
                .with_topics(vec![creatable(&name, partitions, configs)]);
            let reply = side.connection().call(7, &request);
            assert_eq!(
                reply.topics[0].error_code, 0,
                "create {name}: {:?}",
                reply.topics[0].error_message
            );
        }
        self.ready(&name);
        name
    }

    /// Waits until a topic can be used at both servers; from then on [`Session::id`] knows it.
    pub fn ready(&mut self, name: &str) {
        let mut ids = Vec::new();
        for side in self.pair.each() {
            let mut connection = side.server.connect();
            let id = uuid(side.server.ready(&mut connection, name).id);
            side.define(&format!("id:{name}"), id.clone());
            ids.push(id.as_str().expect("text").to_owned());
        }
        assert!(self.pair.ids.pair(&ids[0], &ids[1]), "the ids of {name}");
    }

    /// Waits until both servers have a coordinator of groups: Apache Kafka makes its topic for that when it is first asked for.
    pub fn ready_for_groups(&mut self) {
        for side in self.pair.each() {
            let mut connection = side.server.connect();
            let request = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("g"));
            eventually("a coordinator", || {
                (connection.call(0, &request).error_code == 0).then_some(())
            });
            await_coordinator(&mut connection, "g");
        }
    }

    /// Waits until both servers give out ids of producers.
    pub fn ready_for_producers(&mut self) {
        for side in self.pair.each() {
            init_producer_id(
                &mut side.server.connect(),
                4,
                &InitProducerIdRequest::default().with_transactional_id(None),
            );
        }
    }

    /// Waits until Apache Kafka has a coordinator of transactions.
    pub fn kafka_ready_for_transactions(&mut self) {
        let mut connection = self.pair.sides.kafka.server.connect();
        let request = FindCoordinatorRequest::default()
            .with_key(StrBytes::from_static_str("k"))
            .with_key_type(1);
        eventually("a coordinator", || {
            (connection.call(1, &request).error_code == 0).then_some(())
        });
    }

    /// What stands for the id of a topic in a request.
    pub fn id(&self, topic: &str) -> Value {
        format!("$id:{topic}").into()
    }

    /// Writes a batch at both servers, without comparing.
    pub fn append(&mut self, topic: &str, partition: i32, batch: &Batch) {
        let api = self.pair.apis.by_name("Produce");
        let body = produce(topic, partition, -1, &batch.encode());
        let replies = self.pair.call(api, 9, &body);
        for outcome in [&replies.ours, &replies.kafka] {
            let code = &outcome.tree()["Responses"][0]["PartitionResponses"][0]["ErrorCode"];
            assert_eq!(code, 0, "produce to {topic} {partition}: {outcome:?}");
        }
    }

    /// The intended differences of the next request.
    pub fn except(&mut self, exceptions: &'static [Exception]) -> &mut Self {
        self.exceptions = exceptions;
        self.stated.extend(exceptions);
        self
    }

    /// A request of the script's API at the script's version; `step` says in a word what is tried.
    pub fn call(&mut self, step: &str, body: Value) -> Both<Outcome> {
        self.call_api(step, self.api, self.version, body)
    }

    /// A request of any API at any version.
    pub fn call_api(&mut self, step: &str, api: &str, version: i16, body: Value) -> Both<Outcome> {
        let api = self.pair.apis.by_name(api);
        let outcomes = self.pair.call(api, version, &body);
        self.compare(step, &api.name, version, &outcomes);
        self.sent.insert((api.key, version));
        outcomes
    }

    /// The version in which this run uses an API that may be the script's own or not.
    pub fn version_of(&self, api: &str, otherwise: i16) -> i16 {
        if api == self.api {
            self.version
        } else {
            otherwise
        }
    }

    /// A request that each server gets until its reply is `ready`: something goes on there by itself. The last replies are compared.
    pub fn call_until(&mut self, step: &str, api: &str, version: i16, body: Value, ready: impl Fn(&Value) -> bool) {
        self.follow_until(step, api, version, |_| body.clone(), ready);
    }

    /// The same with requests that follow from the reply before, which is null at first.
    pub fn follow_until(
        &mut self,
        step: &str,
        api: &str,
        version: i16,
        body: impl Fn(&Value) -> Value,
        ready: impl Fn(&Value) -> bool,
    ) {
        let api = self.pair.apis.by_name(api);
        let outcomes = self.pair.call_until(api, version, &body, &ready);
        self.compare(step, &api.name, version, &outcomes);
        self.sent.insert((api.key, version));
    }

    /// A request over a connection of its own that is not answered at once.
    pub fn park(&mut self, step: &str, api: &str, version: i16, body: Value) -> Waiting {
        self.sent.insert((self.pair.apis.by_name(api).key, version));
        Waiting {
            step: step.to_owned(),
            api: api.to_owned(),
            version,
            parked: self.pair.park(api, version, &body),
        }
    }

    /// Compares whether the servers have answered by now.
    pub fn check_waits(&mut self, waiting: &Waiting) {
        let [ours, kafka] = {
            let answered = self.pair.have_answered(&waiting.parked);
            [answered.ours, answered.kafka].map(|answered| Outcome::Reply(json!({"answered": answered})))
        };
        let step = format!("{}, so far", waiting.step);
        self.compare(&step, &waiting.api, waiting.version, &Both { ours, kafka });
    }

    /// Awaits the replies and compares them.
    pub fn reply(&mut self, waiting: Waiting) {
        let outcomes = self.pair.unpark(waiting.parked);
        self.compare(&waiting.step, &waiting.api, waiting.version, &outcomes);
    }

    /// Waits until a classic group is in this state with so many members at both servers.
    pub fn await_group(&mut self, group: &str, state: &str, members: usize) {
        for side in self.pair.each() {
            await_state(&side.server, group, state, members);
        }
    }

    /// A request that only reads, at any version of any API: repeated until both say the same, because Apache Kafka's broker hears of a
    /// change after the controller has answered it.
    pub fn read_back(&mut self, step: &str, api: &str, version: i16, body: Value) {
        let api = self.pair.apis.by_name(api);
        let mut outcomes = self.pair.call(api, version, &body);
        try_within(PATIENCE, || {
            if self.differs(&api.name, &outcomes) {
                outcomes = self.pair.call(api, version, &body);
                return None;
            }
            Some(())
        });
        self.compare(step, &api.name, version, &outcomes);
        self.sent.insert((api.key, version));
    }

    /// Whether the outcomes differ in more than what may differ everywhere.
    fn differs(&mut self, api: &str, outcomes: &Both<Outcome>) -> bool {
        let mut comparison = Comparison {
            api,
            unordered: UNORDERED,
            ids: &mut self.pair.ids,
        };
        let differences = comparison.differences(&outcomes.ours.tree(), &outcomes.kafka.tree());
        let allowed = |difference: &Difference| ALLOWED.iter().any(|e| e.api == api && e.covers(difference));
        !differences.iter().all(allowed)
    }

    /// The name of an API.
    pub fn api_name(&self, key: i16) -> String {
        self.pair.apis.by_key(key).name.clone()
    }

    /// A request that has no reply.
    pub fn tell(&mut self, body: Value) {
        self.pair.tell(self.pair.apis.by_name(self.api), self.version, &body);
    }

    /// Bytes in place of a body that the schema can describe, sent as a version that may not exist; a reply is read as `reply_version`.
    pub fn call_raw(&mut self, step: &str, api: &str, version: i16, body: &[u8], reply_version: i16) -> Both<Outcome> {
        let api = self.pair.apis.by_name(api);
        let frame = Frame {
            reply: Some((&api.response, reply_version)),
            ..Frame::of(api, version)
        };
        let outcomes = self.pair.exchange(&frame, |_| body.to_vec());
        self.compare(step, &api.name, version, &outcomes);
        outcomes
    }

    fn compare(&mut self, step: &str, api: &str, version: i16, outcomes: &Both<Outcome>) {
        let mut comparison = Comparison {
            api,
            unordered: UNORDERED,
            ids: &mut self.pair.ids,
        };
        let differences = comparison.differences(&outcomes.ours.tree(), &outcomes.kafka.tree());
        let exceptions = std::mem::take(&mut self.exceptions);
        for difference in differences {
            let exception = exceptions.iter().find(|e| e.covers(&difference));
            self.found.push(Found {
                script: self.script.clone(),
                step: step.to_owned(),
                request: (api.to_owned(), version),
                difference,
                exception,
            });
        }
    }
}

/// A Produce of these bytes to one partition of a topic, named by name and by id; each version takes the one that it has.
pub fn produce(topic: &str, partition: i32, acks: i16, records: &[u8]) -> Value {
    json!({
        "Acks": acks,
        "TimeoutMs": 20_000,
        "TopicData": [{
            "Name": topic,
            "TopicId": format!("$id:{topic}"),
            "PartitionData": [{"Index": partition, "Records": bytes(records)}],
        }],
    })
}
