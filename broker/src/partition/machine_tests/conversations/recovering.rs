//! Talks after an operator's recovery, with a follower that holds committed records which the new leader has not (N5).

use super::*;
use crate::meta::state::Recovery;

/// Broker 2 holds 6 records of epoch 3, of which 5 are committed; in epoch 5 another leads that has `leader_end` of them.
fn come_back(recoveries: Vec<Recovery>, leader_end: u64) -> (Talk, Vec<Effect<u64>>) {
    let held = log(5, 6, &[(3, 0)]);
    let machine = Machine::new(Setup { id: partition(), me: TWO, log: held, unclean: false, limits: LIMITS });
    let mut talk = Talk { machine, now: Moment::default() };
    talk.machine.assigned(Assignment { recoveries, ..entry(1, &[ONE]) }, talk.now);
    talk.effects();
    talk.begun(0);
    let asked = LeaderEpoch(3);
    let effects = talk.led(LeaderMessage::EpochEnd { asked, epoch: asked, end: Offset(leader_end) });
    (talk, effects)
}

fn recovery(leader_epoch: u32, cut_end: u64) -> Recovery {
    Recovery { leader_epoch: LeaderEpoch(leader_epoch), cut_end: Offset(cut_end) }
}

fn is_refused(effects: &[Effect<u64>]) -> bool {
    let refused = FollowerMessage::Refused {
        cause: RefusalCause::WouldCutCommitted,
        message: String::new(),
        epoch: EPOCH,
    };
    replies(effects).iter().any(|reply| std::mem::discriminant(*reply) == std::mem::discriminant(&refused))
}

#[test]
fn n5_a_recovery_permits_the_cut_it_was_shown_with() {
    let (mut talk, effects) = come_back(vec![recovery(5, 2)], 3);
    let [Effect::Cut { to: Offset(3), committed_end: Offset(5), permitted: Some(Offset(2)) }] = effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(talk.committed_end(), 5, "nothing is forgotten before the cut is durable");
    talk.machine.cut_done(cut_to(3, &[(3, 0)]), talk.now);
    assert_eq!(talk.committed_end(), 3);
    let matched = FollowerMessage::Matched {
        begun: 1,
        end: Offset(3),
        durable_end: Offset(3),
        last_epoch: LeaderEpoch(3),
    };
    assert_eq!(replies(&talk.effects()), [&matched]);
}

#[test]
fn n5_a_recovery_permits_no_deeper_cut() {
    let (_, effects) = come_back(vec![recovery(5, 4)], 3);
    assert!(is_refused(&effects), "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Cut { .. })));
}

#[test]
fn n5_a_recovery_permits_nothing_to_who_followed_its_leader() {
    let (_, effects) = come_back(vec![recovery(3, 0)], 3);
    assert!(is_refused(&effects), "{effects:?}");
}
