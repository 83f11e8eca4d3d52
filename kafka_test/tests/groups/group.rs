//! A group of librdkafka consumers, each in a process of its own.

use crate::flow::Flow;
use crate::history::{assert_committed_is_not_read_again, owned, values, Event};
use kafka_test::patience::within;
use kafka_test::server::Server;
use kafka_test::topic::unique_name;
use rustix::process::{Pid, Signal};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Partitions of the topic.
pub const PARTITIONS: i32 = 8;
/// Time in which a rebalance ends: longer than the session of a KIP-848 member (45 s), which its clients cannot choose.
const REBALANCE_WITHIN: Duration = Duration::from_secs(90);

/// A group, the topic that it reads and the flow of records into it.
pub struct Group {
    server: &'static Server,
    topic: String,
    name: String,
    settings: Vec<String>,
    flow: Option<Flow>,
    events: Arc<Mutex<Vec<Event>>>,
    members: Vec<Child>,
    living: BTreeSet<usize>,
}

impl Group {
    /// A group without members whose members will have these settings of librdkafka.
    pub fn new(prefix: &str, settings: &[&str]) -> Group {
        let server = Server::shared();
        let topic = server.topic(prefix, PARTITIONS).name;
        Group {
            server,
            flow: Some(Flow::begin(server, &topic, PARTITIONS)),
            topic,
            name: unique_name(prefix),
            settings: settings.iter().map(|s| (*s).to_owned()).collect(),
            events: Arc::default(),
            members: Vec::new(),
            living: BTreeSet::new(),
        }
    }

    /// Starts a member, with further settings; its number.
    pub fn start(&mut self, settings: &[&str]) -> usize {
        let number = self.members.len();
        let mut command = Command::new(env!("CARGO_BIN_EXE_group_member"));
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
        let status = self.members[number].wait().unwrap();
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

    /// Waits until the living members own each partition once, every one of them some, and records have flown since.
    pub fn settle(&self) {
        let living: Vec<usize> = self.living.iter().copied().collect();
        let what = format!("{} members of {} own all partitions", living.len(), self.name);
        let mut settled_at = None;
        let settled = || {
            let events = self.events();
            let read = values(&events).len() as u64;
            self.flow.as_ref().unwrap().note_read(read);
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
        within(REBALANCE_WITHIN, &what, settled);
    }

    /// Ends the flow, waits until all of it was read, and checks the history.
    pub fn check(mut self) {
        let flow = self.flow.take().unwrap();
        let written = flow.end();
        within(REBALANCE_WITHIN, "every record reaches the group", || {
            (values(&self.events()).len() as u64 >= written).then_some(())
        });
        for number in self.living.clone() {
            self.leave(number);
        }
        let events = self.events();
        let all: BTreeSet<u64> = (0..written).collect();
        assert_eq!(values(&events), all, "what was written and what was read");
        assert_committed_is_not_read_again(&events);
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
