// C interface of text-core: chat templates, rendered by minijinja as the hub's Python renders them. All texts are UTF-8.
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
  size_t memory;  // bytes held at one time
} tc_limits;

typedef struct tc_template tc_template;

// Compiles a template. On TC_OK `template_out` is set, else `error`.
int32_t tc_template_new(const char* source, size_t size, tc_template** template_out, tc_text* error);

// Renders with the members of a JSON object as variables, in their order. `text` is the result or the error.
// May be called from several threads at once.
int32_t tc_template_render(const tc_template* tmpl, const char* context, size_t size, tc_limits limits,
                           tc_text* text);

void tc_template_free(tc_template* tmpl);
void tc_text_free(tc_text text);

#ifdef __cplusplus
}
#endif
