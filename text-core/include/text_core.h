// C interface of text-core: chat templates, rendered by minijinja as the hub's Python renders them,
// and constraints on what may be generated, by llguidance. All texts are UTF-8.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tc_status {
  TC_OK = 0,
  TC_ERROR = 1,   // the template or its use is wrong; the text says how
  TC_RAISED = 2,  // the template called raise_exception; the text is its message
  TC_LIMIT = 3,   // too many steps or too much memory
} tc_status;

// Owned by the caller; freed with tc_text_free. A zeroed one needs no freeing.
typedef struct tc_text {
  char* data;
  size_t size;
} tc_text;

typedef struct tc_limits {
  uint64_t fuel;  // steps of the template engine
  size_t memory;  // bytes held at one time, which a single step may exceed by a small factor
} tc_limits;

typedef struct tc_template tc_template;

// Compiles a template. On TC_OK `template_out` is set, else `error`.
int32_t tc_template_new(const char* source, size_t size, tc_template** template_out,
                        tc_text* error);

// Renders with the members of a JSON object as variables, in their order. `text` is the result or
// the error. May be called from several threads at once.
int32_t tc_template_render(const tc_template* tmpl, const char* context, size_t size,
                           tc_limits limits, tc_text* text);

void tc_template_free(tc_template* tmpl);

// --- constraints ---

typedef struct tc_vocabulary tc_vocabulary;
typedef struct tc_constraint tc_constraint;

// `bytes` holds the bytes of all tokens one after another; token i ends at ends[i] and is special
// where special[i] != 0. `stops` end an answer. On TC_OK `vocabulary_out` is set, else `error`.
int32_t tc_vocabulary_new(const uint8_t* bytes, const size_t* ends, const uint8_t* special,
                          size_t count, const uint32_t* stops, size_t stop_count,
                          tc_vocabulary** vocabulary_out, tc_text* error);
void tc_vocabulary_free(tc_vocabulary* vocabulary);

// An error where a grammar cannot hold this regular expression (look-ahead, back references).
int32_t tc_pattern_check(const char* pattern, size_t size, tc_text* error);

// Compiles a grammar in llguidance's Lark syntax: first in a copy of this process, which is ended
// where it takes too much, then here. `wanted`, where there is one, is asked now and then from
// another thread; 0 gives up. TC_LIMIT says that it was given up or that the machine had no time or
// no process for it, TC_ERROR that the grammar is at fault. The vocabulary may be freed before the
// constraint.
int32_t tc_constraint_new(const tc_vocabulary* vocabulary, const char* grammar, size_t size,
                          int32_t (*wanted)(void* context), void* context,
                          tc_constraint** constraint_out, tc_text* error);
// One bit for each token that may come next; `words` words of 32 bits, missing ones are 0. Where
// the grammar is complete, these are the stops.
int32_t tc_constraint_mask(tc_constraint* constraint, uint32_t* mask, size_t words, tc_text* error);
// The token has come. An error where it was not allowed.
int32_t tc_constraint_accept(tc_constraint* constraint, uint32_t token, tc_text* error);
// An independent copy in the same state: what it accepts, or fails at, does not change the
// original. Null where it cannot be made.
tc_constraint* tc_constraint_copy(const tc_constraint* constraint);
void tc_constraint_free(tc_constraint* constraint);

void tc_text_free(tc_text text);

#ifdef __cplusplus
}
#endif
