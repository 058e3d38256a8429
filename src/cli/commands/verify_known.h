// Numbers of published models: `facet verify` holds what a file says against them, and `facet
// estimate` knows them before a download.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"

namespace facet::cli {

struct KnownModel {
  const char* name;
  Family family;
  // What a model is recognised by.
  int width, ffn;
  // What it then must have.
  int layers, period;  // every period-th layer is full
  int window;
  int heads, kv_heads, head_dim;                 // of sliding layers
  int full_kv_heads, full_head_dim, full_pairs;  // of full ones; pairs that turn
  double full_scale;                             // positions are divided by this
  double attention_scale;
  float softcap;
  // Mean negative log-likelihood a token of what it is verified by (verify_score.h), as `facet
  // verify` measured it with the published weights; none where nobody did.
  std::optional<double> loss = std::nullopt;
};

// Null for a shape that is not in the table.
const KnownModel* FindKnownModel(const TextConfig& text);

// The published model behind a short name of the table (hub/short_names.h); null where it is not
// here.
const KnownModel* KnownModelBehind(std::string_view short_name);

// What its configuration says of layers and heads: enough for the size of its cache.
TextConfig LayersOf(const KnownModel& known);

// Where the configuration differs, a sentence each: "the sliding layers' RoPE base is 1e+06, not
// 10000".
std::vector<std::string> DifferencesFromKnown(const TextConfig& text, const KnownModel& known);

}  // namespace facet::cli
