// Prometheus text: counters and gauges of each engine, labelled by model alone: no prompts, no
// keys.
#include <sstream>

#include "serve/openai/api.h"

namespace facet::serve {
namespace {

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
  explicit Page(std::vector<std::pair<std::string, EngineStats>> stats)
      : stats_(std::move(stats)) {}

  template <typename F>
  void Value(const char* type, const char* name, const char* help, F get) {
    out_ << "# HELP " << name << ' ' << help << "\n# TYPE " << name << ' ' << type << '\n';
    for (const auto& [id, s] : stats_)
      out_ << name << "{model=\"" << Label(id) << "\"} " << get(s) << '\n';
  }
  void Number(const char* name, const char* help, size_t value) {
    out_ << "# HELP " << name << ' ' << help << "\n# TYPE " << name << " gauge\n"
         << name << ' ' << value << '\n';
  }
  void Distribution(const char* name, const char* help, Histogram EngineStats::*member) {
    out_ << "# HELP " << name << ' ' << help << "\n# TYPE " << name << " histogram\n";
    for (const auto& [id, s] : stats_) {
      const Histogram& h = s.*member;
      uint64_t total = 0;
      for (size_t i = 0; i < h.counts().size(); ++i) {
        total += h.counts()[i];
        out_ << name << "_bucket{model=\"" << Label(id) << "\",le=\"";
        if (i < Histogram::kBounds.size())
          out_ << Histogram::kBounds[i];
        else
          out_ << "+Inf";
        out_ << "\"} " << total << '\n';
      }
      out_ << name << "_sum{model=\"" << Label(id) << "\"} " << h.sum() << '\n';
      out_ << name << "_count{model=\"" << Label(id) << "\"} " << h.count() << '\n';
    }
  }
  void Finished() {
    out_ << "# HELP facet_request_success_total Requests by how they ended\n# TYPE "
            "facet_request_success_total counter\n";
    for (const auto& [id, s] : stats_) {
      const std::pair<const char*, uint64_t> reasons[] = {{"stop", s.finished_stop},
                                                          {"length", s.finished_length},
                                                          {"cancelled", s.finished_cancelled},
                                                          {"error", s.finished_error}};
      for (const auto& [reason, count] : reasons) {
        out_ << "facet_request_success_total{model=\"" << Label(id) << "\",finished_reason=\""
             << reason << "\"} " << count << '\n';
      }
    }
  }
  std::string Text() const { return out_.str(); }

 private:
  std::vector<std::pair<std::string, EngineStats>> stats_;
  std::ostringstream out_;
};

double CacheUse(const EngineStats& s) {
  return s.cache_budget > 0
             ? static_cast<double>(s.cache_bytes) / static_cast<double>(s.cache_budget)
             : 0.0;
}

}  // namespace

std::string MetricsText(const ModelPool& models) {
  std::vector<std::pair<std::string, EngineStats>> stats;
  for (const std::string& id : models.ids()) {
    // An adapter's numbers are in those of its model, whose engine it shares.
    const auto status = models.StatusOf(id);
    if (!status || !status->base.empty()) continue;
    if (const auto model = models.Loaded(id)) stats.emplace_back(id, model->engine->Stats());
  }
  Page page(std::move(stats));
  using S = const EngineStats&;
  page.Value("gauge", "facet_num_requests_running", "Requests in the batch",
             [](S s) { return s.running; });
  page.Value("gauge", "facet_num_requests_waiting", "Requests in the queue",
             [](S s) { return s.waiting; });
  page.Value("gauge", "facet_kv_cache_usage_perc", "Share of the cache's budget in use (0 to 1)",
             CacheUse);
  page.Value("gauge", "facet_kv_cache_bytes", "Bytes of keys and values",
             [](S s) { return s.cache_bytes; });
  page.Value("gauge", "facet_prefix_cache_snapshots", "Snapshots kept",
             [](S s) { return s.snapshots; });
  page.Value("counter", "facet_prefix_cache_queries_total", "Prompt tokens looked up",
             [](S s) { return s.prompt_tokens; });
  page.Value("counter", "facet_prefix_cache_hits_total", "Prompt tokens found",
             [](S s) { return s.cached_tokens; });
  page.Value("counter", "facet_prompt_tokens_total", "Prompt tokens",
             [](S s) { return s.prompt_tokens; });
  page.Value("counter", "facet_generation_tokens_total", "Generated tokens",
             [](S s) { return s.generated_tokens; });
  page.Value("counter", "facet_engine_steps_total", "Batched steps", [](S s) { return s.steps; });
  page.Value("counter", "facet_num_preemptions_total", "Sequences that gave way",
             [](S s) { return s.preemptions; });
  page.Value("counter", "facet_cache_evictions_total", "Snapshots evicted",
             [](S s) { return s.evictions; });
  page.Value("counter", "facet_spec_decode_num_draft_tokens_total", "Drafted tokens",
             [](S s) { return s.drafted; });
  page.Value("counter", "facet_spec_decode_num_accepted_tokens_total", "Accepted drafts",
             [](S s) { return s.accepted; });
  page.Number("facet_memory_budget_bytes", "Memory for all models (0: no limit)",
              models.memory_budget());
  page.Number("facet_memory_models_bytes", "Memory of the models that are loaded",
              models.memory_used());
  page.Finished();
  page.Distribution("facet_time_to_first_token_seconds", "From arrival to the first token",
                    &EngineStats::first_token);
  page.Distribution("facet_inter_token_latency_seconds", "Between tokens of a sequence",
                    &EngineStats::inter_token);
  page.Distribution("facet_e2e_request_latency_seconds", "From arrival to the end",
                    &EngineStats::whole);
  page.Distribution("facet_request_queue_time_seconds", "In the queue", &EngineStats::queue);
  page.Distribution("facet_request_prefill_time_seconds", "Reading the prompt",
                    &EngineStats::prefill);
  page.Distribution("facet_request_decode_time_seconds", "Writing the answer",
                    &EngineStats::decode);
  // The gateway's model-server protocol.
  page.Value("gauge", "TotalQueuedRequests", "Requests in the queue",
             [](S s) { return s.waiting; });
  page.Value("gauge", "TotalRunningRequests", "Requests in the batch",
             [](S s) { return s.running; });
  page.Value("gauge", "KVCacheUtilization", "Share of the cache's budget in use (0 to 1)",
             CacheUse);
  return page.Text();
}

}  // namespace facet::serve
