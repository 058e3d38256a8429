#include "serve/state/metrics.h"

#include <sstream>
#include <string_view>
#include <vector>

#include "serve/handlers.h"

namespace facet::serve {
namespace {

using Stats = EngineStats;

double CacheUse(const Stats& s) {
  return s.cache_budget > 0
             ? static_cast<double>(s.cache_bytes) / static_cast<double>(s.cache_budget)
             : 0.0;
}

// A number of each model: a count, or a share.
struct Metric {
  const char *name, *type, *help;
  uint64_t (*count)(const Stats&);
  double (*share)(const Stats&) = nullptr;
};

#define FACET_STAT(field) [](const Stats& s) { return static_cast<uint64_t>(s.field); }
constexpr Metric kMetrics[] = {
    {"facet_num_requests_running", "gauge", "Requests in the batch", FACET_STAT(running)},
    {"facet_num_requests_waiting", "gauge", "Requests in the queue", FACET_STAT(waiting)},
    {"facet_kv_cache_usage_perc", "gauge", "Share of the cache's budget in use (0 to 1)", nullptr,
     CacheUse},
    {"facet_kv_cache_bytes", "gauge", "Bytes of keys and values", FACET_STAT(cache_bytes)},
    {"facet_prefix_cache_snapshots", "gauge", "Snapshots kept", FACET_STAT(snapshots)},
    {"facet_prefix_cache_queries_total", "counter", "Prompt tokens looked up",
     FACET_STAT(prompt_tokens)},
    {"facet_prefix_cache_hits_total", "counter", "Prompt tokens found", FACET_STAT(cached_tokens)},
    {"facet_prompt_tokens_total", "counter", "Prompt tokens", FACET_STAT(prompt_tokens)},
    {"facet_generation_tokens_total", "counter", "Generated tokens", FACET_STAT(generated_tokens)},
    {"facet_engine_steps_total", "counter", "Batched steps", FACET_STAT(steps)},
    {"facet_num_preemptions_total", "counter", "Sequences that were preempted",
     FACET_STAT(preemptions)},
    {"facet_cache_evictions_total", "counter", "Snapshots evicted", FACET_STAT(evictions)},
    {"facet_spec_decode_num_draft_tokens_total", "counter", "Drafted tokens", FACET_STAT(drafted)},
    {"facet_spec_decode_num_accepted_tokens_total", "counter", "Accepted drafts",
     FACET_STAT(accepted)},
    // The gateway's model-server protocol.
    {"TotalQueuedRequests", "gauge", "Requests in the queue", FACET_STAT(waiting)},
    {"TotalRunningRequests", "gauge", "Requests in the batch", FACET_STAT(running)},
    {"KVCacheUtilization", "gauge", "Share of the cache's budget in use (0 to 1)", nullptr,
     CacheUse},
};

struct EndMetric {
  const char* reason;
  uint64_t (*count)(const Stats&);
};
constexpr EndMetric kEnds[] = {{"stop", FACET_STAT(finished_stop)},
                               {"length", FACET_STAT(finished_length)},
                               {"cancelled", FACET_STAT(finished_cancelled)},
                               {"error", FACET_STAT(finished_error)}};
#undef FACET_STAT

struct Distribution {
  const char *name, *help;
  Histogram Stats::*histogram;
};
constexpr Distribution kDistributions[] = {
    {"facet_time_to_first_token_seconds", "From arrival to the first token", &Stats::first_token},
    {"facet_inter_token_latency_seconds", "Between tokens of a sequence", &Stats::inter_token},
    {"facet_e2e_request_latency_seconds", "From arrival to the end", &Stats::whole},
    {"facet_request_queue_time_seconds", "In the queue", &Stats::queue},
    {"facet_request_prefill_time_seconds", "Reading the prompt", &Stats::prefill},
    {"facet_request_decode_time_seconds", "Writing the answer", &Stats::decode},
};

std::string Label(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    if (static_cast<unsigned char>(c) >= 0x20) out.push_back(c);
  }
  return out;
}

class Page {
 public:
  void Head(std::string_view name, std::string_view type, std::string_view help) {
    out_ << "# HELP " << name << ' ' << help << "\n# TYPE " << name << ' ' << type << '\n';
  }
  // `labels`: {model="..."} and others, or nothing.
  template <class Number>
  void Value(std::string_view name, std::string_view labels, Number value) {
    out_ << name << labels << ' ' << value << '\n';
  }
  std::string Text() const { return out_.str(); }

 private:
  std::ostringstream out_;
};

std::string ModelLabel(const std::string& id, const std::string& more = "") {
  return Cat("{model=\"", Label(id), '"', more, '}');
}

void WriteHistogram(Page& page, const std::string& name, const std::string& id,
                    const Histogram& histogram) {
  uint64_t total = 0;
  for (size_t i = 0; i < histogram.counts().size(); ++i) {
    total += histogram.counts()[i];
    const std::string bound =
        i < Histogram::kBounds.size() ? Cat(Histogram::kBounds[i]) : std::string("+Inf");
    page.Value(name + "_bucket", ModelLabel(id, Cat(",le=\"", bound, '"')), total);
  }
  page.Value(name + "_sum", ModelLabel(id), histogram.sum());
  page.Value(name + "_count", ModelLabel(id), histogram.count());
}

struct ModelStats {
  std::string id;
  Stats stats;
  std::shared_ptr<const CallRepairCounts> repairs;
};
using AllStats = std::vector<ModelStats>;

// An adapter's numbers are in those of its model, whose engine it shares.
AllStats StatsOf(const ModelPool& models) {
  AllStats all;
  for (const std::string& id : models.ids()) {
    const auto status = models.StatusOf(id);
    if (!status || !status->base.empty()) continue;
    if (const auto model = models.Loaded(id))
      all.push_back({id, model->engine->Stats(), model->repairs});
  }
  return all;
}

void WriteMetric(Page& page, const AllStats& all, const Metric& metric) {
  page.Head(metric.name, metric.type, metric.help);
  for (const auto& [id, stats, repairs] : all) {
    if (metric.share != nullptr) {
      page.Value(metric.name, ModelLabel(id), metric.share(stats));
    } else {
      page.Value(metric.name, ModelLabel(id), metric.count(stats));
    }
  }
}

void WriteMemory(Page& page, const char* name, const char* help, size_t bytes) {
  page.Head(name, "gauge", help);
  page.Value(name, "", bytes);
}

void WriteEnds(Page& page, const AllStats& all) {
  constexpr const char* kName = "facet_request_success_total";
  page.Head(kName, "counter", "Requests by how they ended");
  for (const auto& [id, stats, repairs] : all) {
    for (const EndMetric& end : kEnds) {
      const std::string labels = ModelLabel(id, Cat(",finished_reason=\"", end.reason, '"'));
      page.Value(kName, labels, end.count(stats));
    }
  }
}

void WriteRepairs(Page& page, const AllStats& all) {
  constexpr const char* kName = "facet_tool_call_repairs_total";
  page.Head(kName, "counter", "Tool calls that were read otherwise than their notation has it");
  for (const auto& [id, stats, repairs] : all) {
    for (size_t i = 0; i < repairs->size(); ++i) {
      const std::string_view kind = CallRepairName(static_cast<CallRepair>(i));
      page.Value(kName, ModelLabel(id, Cat(",kind=\"", kind, '"')), (*repairs)[i].load());
    }
  }
}

}  // namespace

std::string MetricsText(const ModelPool& models) {
  const AllStats all = StatsOf(models);
  Page page;
  for (const Metric& metric : kMetrics) WriteMetric(page, all, metric);
  WriteMemory(page, "facet_memory_budget_bytes", "Memory for all models (0: no limit)",
              models.memory_budget());
  WriteMemory(page, "facet_memory_models_bytes", "Memory of the models that are loaded",
              models.memory_used());
  WriteEnds(page, all);
  WriteRepairs(page, all);
  for (const Distribution& distribution : kDistributions) {
    page.Head(distribution.name, "histogram", distribution.help);
    for (const auto& [id, stats, repairs] : all)
      WriteHistogram(page, distribution.name, id, stats.*distribution.histogram);
  }
  return page.Text();
}

Result<void> Metrics(Service& service, Call& call) {
  call.exchange->Send({.content_type = "text/plain; version=0.0.4",
                       .body = MetricsText(service.models),
                       .headers = {}});
  return Ok();
}

}  // namespace facet::serve
