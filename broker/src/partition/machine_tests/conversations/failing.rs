//! Talks with followers that cannot follow.

use super::*;

fn refused(cause: RefusalCause) -> FollowerMessage {
    FollowerMessage::Refused { cause, message: "so it is".to_owned(), epoch: EPOCH }
}

fn alarms(effects: &[Effect<u64>]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Alarm(_))).count()
}

/// It left its role before it looked for the stream to say so on, and so never did.
#[test]
fn g6_a_follower_whose_log_fails_says_so() {
    let mut talk = follower(log(0, 0, &[]));
    talk.begun(0);
    talk.machine.failed("the disk is gone");
    let effects = talk.effects();
    assert!(matches!(replies(&effects)[..], [FollowerMessage::Refused { cause: RefusalCause::Stopped, .. }]));
}

#[test]
fn n11_a_follower_that_says_it_stopped_leaves_the_set_at_once() {
    let mut talk = leader(&[ONE, TWO, THREE]);
    talk.matched(TWO, 0, 0);
    talk.matched(THREE, 0, 0);
    talk.heard(THREE, StreamId(3), refused(RefusalCause::Stopped));
    assert_eq!(proposed(&talk.later(1)), [[1, 2]]);
}

/// Five lines a second and partition, for as long as nobody looked after it.
#[test]
fn a_follower_that_goes_on_refusing_is_asked_less_and_less_and_alarms_once() {
    let mut talk = leader(&[ONE, TWO]);
    talk.up(TWO, STREAM);
    let (mut asked, mut alarmed) = (0, 0);
    for _ in 0..100 {
        let effects = talk.later(LIMITS.retry_ms);
        asked += begins(&effects);
        alarmed += alarms(&effects);
        if begins(&effects) > 0 || asked == 0 {
            alarmed += alarms(&talk.heard(TWO, STREAM, refused(RefusalCause::WouldCutCommitted)));
        }
    }
    assert_eq!((asked, alarmed), (6, 1), "after 1, 2, 4, 8, 16 and 32 pauses");
    let effects = talk.heard(TWO, STREAM, refused(RefusalCause::Stopped));
    assert_eq!(alarms(&effects), 1, "another cause is news");
}

/// The stream a report came on belongs to one life; whoever comes on the next one has reported nothing yet.
#[test]
fn n8_whoever_is_added_is_the_life_that_reported() {
    let mut talk = leader(&[ONE, TWO]);
    let effects = talk.matched(THREE, 0, 0);
    let named: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Propose { proposed, .. } => Some(&proposed.added),
            _ => None,
        })
        .flatten()
        .map(|life| (life.broker, life.epoch.0))
        .collect();
    assert_eq!(named, [(THREE, 1)]);
}
