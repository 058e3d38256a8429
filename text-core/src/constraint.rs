//! What may be generated next, by llguidance: a grammar over the tokens of one vocabulary.

use crate::{contained, guarded, report, silence_panics, text_of, trial, Outcome, Text, ERROR};
use llguidance::api::{GrammarInit, TopLevelGrammar};
use llguidance::derivre::RegexBuilder;
use llguidance::{Matcher, ParserFactory};
use std::collections::HashSet;
use std::ffi::c_void;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};
use toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};

/// Bytes that one compiled grammar may hold; llguidance's own limits bound the compiling.
const MEMORY: usize = 1 << 30;

/// Grammars that are remembered as harmless.
const MAX_TRIED: usize = 4096;

pub struct Vocabulary {
    factory: ParserFactory,
    /// Hashes, with a key of this process, of grammars that a trial has compiled.
    tried: Mutex<HashSet<u64>>,
    key: RandomState,
}

impl Vocabulary {
    fn is_tried(&self, grammar: &str) -> bool {
        self.tried.lock().is_ok_and(|tried| tried.contains(&self.key.hash_one(grammar)))
    }
    fn remember(&self, grammar: &str) {
        if let Ok(mut tried) = self.tried.lock() {
            if tried.len() == MAX_TRIED {
                tried.clear();
            }
            tried.insert(self.key.hash_one(grammar));
        }
    }
}

/// Asks the caller whether it still wants what it has asked for.
struct Wanted {
    ask: Option<unsafe extern "C" fn(*mut c_void) -> i32>,
    context: *mut c_void,
}

// SAFETY: the caller waits in tc_constraint_new meanwhile, and lets its function be called from any thread.
unsafe impl Sync for Wanted {}

impl Wanted {
    fn still(&self) -> bool {
        self.ask.is_none_or(|ask| unsafe { ask(self.context) } != 0)
    }
}

pub struct Constraint {
    matcher: Matcher,
}

fn failed(error: anyhow::Error) -> (i32, String) {
    (ERROR, format!("{error:#}"))
}

fn vocabulary(words: &[Vec<u8>], stops: &[u32]) -> Outcome<Vocabulary> {
    let Some(&eos) = stops.first() else {
        return Err((ERROR, "the vocabulary has no token that ends an answer".to_string()));
    };
    let info = TokRxInfo::new(words.len() as u32, eos);
    let trie = TokTrie::from(&info, words).with_eos_tokens(stops);
    let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
    let mut factory = ParserFactory::new(
        &environment,
        InferenceCapabilities::default(),
        &llguidance::earley::SlicedBiasComputer::general_slices(),
    )
    .map_err(failed)?;
    factory.quiet();
    let limits = factory.limits_mut();
    limits.verbose_errors = false;
    // Room for enumerations and objects of some thousand members, which are wide but not deep.
    limits.max_items_in_row = 20_000;
    limits.step_max_items = 400_000;
    Ok(Vocabulary { factory, tried: Mutex::new(HashSet::new()), key: RandomState::new() })
}

/// llguidance takes the first step of a lexer without a limit: where a lexeme's language has few words, and long ones, that
/// step searches for ever. The same step under the limit comes first, and leaves what it was made of.
fn bounded(factory: &ParserFactory, grammar: &str) -> anyhow::Result<GrammarInit> {
    let mut limits = factory.limits().clone();
    let text = GrammarInit::Serialized(TopLevelGrammar::from_lark(grammar.to_string()));
    let (rules, lexer) = text.to_internal(Some(factory.tok_env().clone()), limits.clone())?;
    let mut automaton = lexer.to_regex_vec(&mut limits)?;
    automaton.set_fuel(limits.initial_lexer_fuel);
    automaton.set_max_states(limits.max_lexer_states);
    let start = automaton.initial_state(&lexer.all_lexemes());
    for byte in 0..=255 {
        automaton.transition(start, byte);
        anyhow::ensure!(!automaton.has_error(), "a pattern or a number's limits are too complex");
    }
    Ok(GrammarInit::Internal(rules, lexer))
}

/// Compiles a grammar that has been compiled in a process of its own before: the limits of the engine do not bound all that
/// it does. Intersections of patterns, for one, take for ever.
fn tried(vocabulary: &Vocabulary, grammar: &str, wanted: &Wanted) -> Outcome<Constraint> {
    if !vocabulary.is_tried(grammar) {
        trial::run(|| compiled(&vocabulary.factory, grammar).map(drop).map_err(failed), || wanted.still())?;
        vocabulary.remember(grammar);
    }
    let _alone = trial::compiling();
    compiled(&vocabulary.factory, grammar).map_err(failed)
}

/// The first mask is made here already: what no text can satisfy is an error of the grammar.
fn compiled(factory: &ParserFactory, grammar: &str) -> anyhow::Result<Constraint> {
    let parser = factory.create_parser_from_init_default(bounded(factory, grammar)?)?;
    let mut matcher = Matcher::new(Ok(parser));
    matcher.compute_mask_or_eos()?;
    Ok(Constraint { matcher })
}

/// # Safety
/// As include/text_core.h says.
#[no_mangle]
pub unsafe extern "C" fn tc_pattern_check(pattern: *const u8, size: usize, error: *mut Text) -> i32 {
    silence_panics();
    let outcome = text_of(pattern, size).and_then(|pattern| {
        contained(MEMORY, || RegexBuilder::new().mk_regex(pattern).map(drop).map_err(failed))
    });
    report(outcome, error, |()| ())
}

/// # Safety
/// As include/text_core.h says.
#[no_mangle]
pub unsafe extern "C" fn tc_vocabulary_new(
    bytes: *const u8,
    ends: *const usize,
    special: *const u8,
    count: usize,
    stops: *const u32,
    stop_count: usize,
    out: *mut *mut Vocabulary,
    error: *mut Text,
) -> i32 {
    silence_panics();
    let ends = std::slice::from_raw_parts(ends, count);
    let special = std::slice::from_raw_parts(special, count);
    let stops = std::slice::from_raw_parts(stops, stop_count);
    let mut words = Vec::with_capacity(count);
    let mut begin = 0;
    for (end, special) in ends.iter().zip(special) {
        let mut word = Vec::with_capacity(end - begin + 1);
        if *special != 0 {
            word.push(TokTrie::SPECIAL_TOKEN_MARKER);
        }
        word.extend_from_slice(std::slice::from_raw_parts(bytes.add(begin), end - begin));
        words.push(word);
        begin = *end;
    }
    report(guarded(|| vocabulary(&words, stops)), error, |made| *out = Box::into_raw(Box::new(made)))
}

/// # Safety
/// As include/text_core.h says.
#[no_mangle]
pub unsafe extern "C" fn tc_vocabulary_free(vocabulary: *mut Vocabulary) {
    if !vocabulary.is_null() {
        drop(Box::from_raw(vocabulary));
    }
}

/// # Safety
/// As include/text_core.h says.
#[no_mangle]
pub unsafe extern "C" fn tc_constraint_new(
    vocabulary: *const Vocabulary,
    grammar: *const u8,
    size: usize,
    ask: Option<unsafe extern "C" fn(*mut c_void) -> i32>,
    context: *mut c_void,
    out: *mut *mut Constraint,
    error: *mut Text,
) -> i32 {
    let vocabulary = &*vocabulary;
    let wanted = Wanted { ask, context };
    let outcome = text_of(grammar, size).and_then(|grammar| {
        let wanted = &wanted;
        contained(MEMORY, move || tried(vocabulary, grammar, wanted))
    });
    report(outcome, error, |made| *out = Box::into_raw(Box::new(made)))
}

/// # Safety
/// As include/text_core.h says.
#[no_mangle]
pub unsafe extern "C" fn tc_constraint_mask(
    constraint: *mut Constraint,
    mask: *mut u32,
    words: usize,
    error: *mut Text,
) -> i32 {
    let mask = std::slice::from_raw_parts_mut(mask, words);
    let matcher = &mut (*constraint).matcher;
    report(guarded(|| matcher.compute_mask_or_eos().map_err(failed)), error, |allowed| {
        let allowed = allowed.as_slice();
        let shared = allowed.len().min(mask.len());
        mask[..shared].copy_from_slice(&allowed[..shared]);
        mask[shared..].fill(0);
    })
}

/// # Safety
/// As include/text_core.h says.
#[no_mangle]
pub unsafe extern "C" fn tc_constraint_accept(constraint: *mut Constraint, token: u32, error: *mut Text) -> i32 {
    let matcher = &mut (*constraint).matcher;
    let outcome = guarded(|| {
        // A complete grammar takes nothing but the end of the answer.
        if matcher.is_stopped() && matcher.get_error().is_none() {
            let stops = matcher.compute_mask_or_eos().map_err(failed)?;
            let ends = stops.is_allowed(token);
            return if ends { Ok(()) } else { Err((ERROR, format!("token {token} after a complete answer"))) };
        }
        matcher.consume_token(token).map_err(failed)
    });
    report(outcome, error, |()| ())
}

/// # Safety
/// As include/text_core.h says.
#[no_mangle]
pub unsafe extern "C" fn tc_constraint_copy(constraint: *const Constraint) -> *mut Constraint {
    let matcher = &(*constraint).matcher;
    match guarded(|| Ok(Constraint { matcher: matcher.deep_clone() })) {
        Ok(copy) => Box::into_raw(Box::new(copy)),
        Err(_) => std::ptr::null_mut(),
    }
}

/// # Safety
/// As include/text_core.h says.
#[no_mangle]
pub unsafe extern "C" fn tc_constraint_free(constraint: *mut Constraint) {
    if !constraint.is_null() {
        drop(Box::from_raw(constraint));
    }
}
