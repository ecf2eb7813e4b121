//! The checker can fail: for each invariant something is broken on purpose, and is caught under that
//! invariant's name within a number of seeds that is stated here.

use ebbgate_simulation::{run::run, scenario::Sabotage};

fn caught(sabotage: Sabotage, rule: &str, within: u64) {
    let mut others = Vec::new();
    for seed in 0..within {
        match run(seed, Some(sabotage)).violation {
            Some(violation) if violation.rule == rule => return,
            Some(violation) => others.push(violation),
            None => {}
        }
    }
    panic!("{sabotage:?} does not break {rule} within {within} seeds, but {others:?}");
}

macro_rules! caught {
    ($($name:ident: $sabotage:ident, $rule:literal, $within:literal;)*) => {
        $(
            #[test]
            fn $name() {
                caught(Sabotage::$sabotage, $rule, $within);
            }
        )*

        #[test]
        fn everything_that_can_be_broken_is() {
            let broken = [$(Sabotage::$sabotage),*];
            assert!(Sabotage::ALL.iter().all(|sabotage| broken.contains(sabotage)));
            let rules: std::collections::BTreeSet<&str> = [$($rule),*].into();
            assert!((1..=12).all(|n| rules.contains(format!("I{n}").as_str())), "{rules:?}");
        }
    };
}

caught! {
    i1_an_agent_that_acts_before_it_writes: EffectFirst, "I1", 40;
    i1_a_disk_that_forgets_teardowns: ForgottenTeardowns, "I1", 40;
    i2_an_agent_that_begins_no_teardown: IdleTeardowns, "I2", 40;
    i2_a_server_that_admits_roles_without_log_in: IgnoredNologin, "I2", 40;
    i3_an_agent_without_deadlines: NoDeadlines, "I3", 100;
    i4_a_connector_whose_names_do_not_derive_from_the_grant: SecondRole, "I4", 100;
    i5_an_agent_that_provisions_what_it_has_torn_down: ComesBack, "I5", 40;
    i6_a_connector_that_verifies_nothing: Unverified, "I6", 40;
    i7_an_agent_that_never_sweeps: NoSweep, "I7", 100;
    i8_a_verifier_in_the_journal: LeakedVerifier, "I8", 40;
    i9_a_broker_that_takes_ones_own_approval: OwnApproval, "I9", 40;
    i10_a_broker_that_lets_leavers_stay: LeaversStay, "I10", 40;
    i11_a_store_that_forgets_audit_events: NoAudit, "I11", 40;
    i12_a_store_that_forgets_notices: LostNotices, "I12", 40;
    a_broker_that_gives_more_time_than_was_given: MoreThanGiven, "extension", 40;
}
