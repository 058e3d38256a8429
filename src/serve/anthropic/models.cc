// /v1/models for clients of Anthropic's API, which say so in a header.
#include "serve/anthropic/messages.h"
#include "serve/timestamp.h"

namespace facet::serve {
namespace {

OrderedJson DescribeAnthropicModel(const ModelPool& models, const std::string& id) {
  const auto model = models.Loaded(id);
  OrderedJson out = {{"type", "model"},
                     {"id", id},
                     {"display_name", id},
                     {"created_at", Timestamp(model == nullptr ? 0 : model->created)},
                     {"lifecycle", "active"}};
  const auto status = models.StatusOf(id);
  if (status && status->facts) out["max_input_tokens"] = status->facts->context;
  return out;
}

}  // namespace

bool SpeaksAnthropic(const HttpRequest& request) {
  return request.Header("anthropic-version").has_value();
}

OrderedJson AnthropicModelList(const ModelPool& models) {
  const std::vector<std::string> ids = models.ids();
  OrderedJson data = OrderedJson::array();
  for (const std::string& id : ids) data.push_back(DescribeAnthropicModel(models, id));
  return {{"data", std::move(data)},
          {"has_more", false},
          {"first_id", ids.front()},
          {"last_id", ids.back()}};
}

OrderedJson AnthropicModel(const ModelPool& models, const std::string& id) {
  return DescribeAnthropicModel(models, id);
}

}  // namespace facet::serve
