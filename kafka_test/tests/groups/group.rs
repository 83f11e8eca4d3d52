//! A group of consumers, each in a process of its own.

use crate::flow::Flow;
use crate::history::{assert_committed_is_not_read_again, owned, values, Event, Said};
use crate::java;
use crate::watch::Watch;
use kafka_test::patience::{try_within, within};
use kafka_test::server::{Server, Target};
use kafka_test::topic::unique_name;
use rustix::process::{Pid, Signal};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// Partitions of the topic.
pub const PARTITIONS: i32 = 8;
/// Time in which a group settles, on a slow machine, after its rebalance has ended and its members have heard of it.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Time in which a member that was told to has left: longer than a request of its client may take, which is a minute.
const LEFT_WITHIN: Duration = Duration::from_secs(90);
/// Session of members of the consumer protocol, which their clients cannot choose: long enough to start a client anew.
const CONSUMER_SESSION_MS: u64 = 30_000;

/// The client of a group's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// In src/bin/group_member.rs.
    Librdkafka,
    /// In clients/java/GroupMember.java.
    Java,
}

/// A server with shorter sessions and heartbeats of the consumer protocol than the default ones.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let session = CONSUMER_SESSION_MS.to_string();
    SERVER.get_or_init(|| match Target::chosen() {
        Target::Apache => Server::start_apache(&[
            ("group.consumer.session.timeout.ms", &session),
            ("group.consumer.min.session.timeout.ms", &session),
            ("group.consumer.heartbeat.interval.ms", "1000"),
            ("group.consumer.min.heartbeat.interval.ms", "1000"),
        ]),
        Target::PgKafka => Server::start_pg_kafka(&[
            ("pg_kafka.consumer_group_session_timeout", &session),
            ("pg_kafka.consumer_group_heartbeat_interval", "1000"),
        ]),
    })
}

/// A group, the topic that it reads, the flow of records into it, and what the broker says of it.
pub struct Group {
    server: &'static Server,
    client: Client,
    topic: String,
    name: String,
    settings: Vec<String>,
    longest_rebalance: Duration,
    watch: Option<Watch>,
    flow: Option<Flow>,
    events: Arc<Mutex<Vec<Event>>>,
    members: Vec<Child>,
    living: BTreeSet<usize>,
}

impl Group {
    /// A group without members whose members will have these settings: `max.poll.interval.ms`, which is the rebalance timeout, and in the
    /// classic protocol `session.timeout.ms` are among them.
    pub fn new(client: Client, prefix: &str, settings: &[&str]) -> Group {
        let server = server();
        let topic = server.topic(prefix, PARTITIONS).name;
        let name = unique_name(prefix);
        let is_consumer = settings.contains(&"group.protocol=consumer");
        let session_ms = match is_consumer {
            true => CONSUMER_SESSION_MS,
            false => millis(settings, "session.timeout.ms"),
        };
        Group {
            server,
            client,
            watch: Some(Watch::begin(server, &name, is_consumer)),
            longest_rebalance: Duration::from_millis(session_ms + millis(settings, "max.poll.interval.ms")),
            flow: Some(Flow::begin(server, &topic, PARTITIONS)),
            topic,
            name,
            settings: settings.iter().map(|s| (*s).to_owned()).collect(),
            events: Arc::default(),
            members: Vec::new(),
            living: BTreeSet::new(),
        }
    }

    /// Starts a member, with further settings; its number.
    pub fn start(&mut self, settings: &[&str]) -> usize {
        let number = self.members.len();
        let mut command = match self.client {
            Client::Librdkafka => Command::new(env!("CARGO_BIN_EXE_group_member")),
            Client::Java => java::program("4.3.1", "GroupMember.java"),
        };
        command.args([&self.server.bootstrap, &self.topic, &self.name]);
        command.args(&self.settings).args(settings);
        let mut member = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("start a member: {e}"));
        let lines = BufReader::new(member.stdout.take().unwrap()).lines();
        let events = self.events.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                events.lock().unwrap().push(Event::parse(number, &line));
            }
        });
        self.members.push(member);
        self.living.insert(number);
        number
    }

    /// Lets a member leave.
    pub fn leave(&mut self, number: usize) {
        drop(self.members[number].stdin.take());
        self.living.remove(&number);
        let ended = try_within(LEFT_WITHIN, || {
            self.note_read();
            self.members[number].try_wait().unwrap()
        });
        let status = ended.unwrap_or_else(|| {
            let events = self.events();
            let said: Vec<&Event> = events.iter().rev().filter(|event| event.member == number).take(20).collect();
            panic!(
                "member {number} of {} has not left within {LEFT_WITHIN:?}; it said last: {said:#?}",
                self.name
            )
        });
        assert!(status.success(), "member {number}: {status}");
    }

    /// Kills a member without a chance to leave.
    pub fn kill(&mut self, number: usize) {
        self.signal(number, Signal::KILL);
        self.members[number].wait().unwrap();
        self.living.remove(&number);
    }

    /// Stops a member in the middle of what it does; the group is expected to go on without it.
    pub fn stall(&mut self, number: usize) {
        self.signal(number, Signal::STOP);
        self.living.remove(&number);
    }

    /// Lets a stopped member go on.
    pub fn resume(&mut self, number: usize) {
        self.signal(number, Signal::CONT);
        self.living.insert(number);
    }

    /// Keeps a member of the Java client from polling, while its client goes on; the group is expected to go on without it.
    pub fn stall_polls(&mut self, number: usize) {
        self.tell(number, "stall");
        self.living.remove(&number);
    }

    /// Lets it poll again.
    pub fn resume_polls(&mut self, number: usize) {
        self.tell(number, "resume");
        self.living.insert(number);
    }

    fn tell(&mut self, number: usize, line: &str) {
        let input = self.members[number]
            .stdin
            .as_mut()
            .expect("a member that was not told to leave");
        writeln!(input, "{line}").unwrap_or_else(|e| panic!("tell member {number}: {e}"));
    }

    /// Waits until a member has said something that holds these words, and expects it to have no partitions.
    pub fn await_words(&mut self, number: usize, words: &str) {
        within(SETTLED_WITHIN, &format!("member {number} says {words:?}"), || {
            let said = |event: &Event| matches!(&event.said, Said::Other(line) if line.contains(words));
            self.events()
                .iter()
                .any(|event| event.member == number && said(event))
                .then_some(())
        });
        assert_eq!(self.owned_by(number), BTreeSet::new(), "member {number}");
        self.living.remove(&number);
    }

    fn signal(&self, number: usize, signal: Signal) {
        let pid = Pid::from_raw(self.members[number].id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap_or_else(|e| panic!("signal {number}: {e}"));
    }

    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// What a member owns.
    pub fn owned_by(&self, number: usize) -> BTreeSet<i32> {
        owned(&self.events(), &[number]).remove(&number).unwrap_or_default()
    }

    /// How many lines of this kind a member has said.
    pub fn rebalances_of(&self, number: usize) -> usize {
        use crate::history::Said::{Assigned, Revoked};
        let events = self.events();
        let own = events.iter().filter(|event| event.member == number);
        own.filter(|event| matches!(event.said, Assigned(_) | Revoked(_))).count()
    }

    /// Lets the flow go on behind what was read; the number of values.
    fn note_read(&self) -> u64 {
        let read = values(&self.events()).len() as u64;
        if let Some(flow) = &self.flow {
            flow.note_read(read);
        }
        read
    }

    /// Waits until the living members own each partition once, every one of them some, and records have flown since.
    pub fn settle(&self) {
        let living: Vec<usize> = self.living.iter().copied().collect();
        let what = format!("{} members of {} own all partitions", living.len(), self.name);
        let mut settled_at = None;
        let settled = || {
            let events = self.events();
            let read = self.note_read();
            let owned = owned(&events, &living);
            let count: usize = owned.values().map(BTreeSet::len).sum();
            let all: BTreeSet<i32> = owned.values().flatten().copied().collect();
            let even = owned.values().all(|partitions| !partitions.is_empty());
            if !even || count != PARTITIONS as usize || all.len() != count {
                settled_at = None;
                return None;
            }
            (read > *settled_at.get_or_insert(read) + 50).then_some(())
        };
        within(self.longest_rebalance + SETTLED_WITHIN, &what, settled);
    }

    /// Ends the flow, waits until all of it was read, and checks the history and what the broker said meanwhile.
    pub fn check(mut self) {
        let flow = self.flow.take().unwrap();
        let written = flow.end();
        within(SETTLED_WITHIN, "every record reaches the group", || {
            (values(&self.events()).len() as u64 >= written).then_some(())
        });
        for number in self.living.clone() {
            self.leave(number);
        }
        let events = self.events();
        let all: BTreeSet<u64> = (0..written).collect();
        assert_eq!(values(&events), all, "what was written and what was read");
        assert_committed_is_not_read_again(&events);
        self.watch.take().unwrap().check(PARTITIONS as usize, self.longest_rebalance);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for member in &mut self.members {
            // They may be gone already.
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

/// The value of a setting in milliseconds; of several, the last counts.
fn millis(settings: &[&str], key: &str) -> u64 {
    let mut values = settings
        .iter()
        .filter_map(|setting| setting.strip_prefix(key)?.strip_prefix('='));
    let value = values.next_back().unwrap_or_else(|| panic!("{key} is not set"));
    value.parse().unwrap_or_else(|e| panic!("{key}={value}: {e}"))
}
