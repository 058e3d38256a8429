// /v1/conversations.
#include "serve/handlers.h"
#include "serve/openai/answer_job.h"
#include "serve/openai/response_items.h"

namespace facet::serve {
namespace {

constexpr size_t kMaxItems = 20;  // of one request, as the API has it

struct ConversationRequest {
  OrderedJson items = OrderedJson::array();
  std::optional<OrderedJson> metadata;
};

FieldTable<ConversationRequest> MakeFields(bool items_required) {
  FieldTable<ConversationRequest> t;
  t.Custom("items", "list of objects", Cat("at most ", kMaxItems), "Items, as in `input`.",
           [](JsonFields& fields, std::string_view name, ConversationRequest& out) {
             OrderedJson* items = fields.Array(name, kMaxItems);
             for (size_t i = 0; items != nullptr && i < items->size(); ++i) {
               if (!(*items)[i].is_object())
                 return fields.FailType(Cat(name, "[", i, "]"), "an object", (*items)[i]);
             }
             if (items != nullptr) out.items = WithIds(std::move(*items));
           });
  if (items_required) t.Required();
  t.Custom("metadata", "object", "", "Notes; they are given back.",
           [](JsonFields& fields, std::string_view name, ConversationRequest& out) {
             if (OrderedJson* metadata = fields.Object(name)) out.metadata = std::move(*metadata);
           });
  return t;
}

// What is not understood is refused when it is added, not when a response first reads it.
Result<void> CheckItems(const Service& service, const OrderedJson& items, IgnoredFields* ignored) {
  MediaIntake intake(service.limits.media);
  ItemReader reader(intake, ignored, nullptr);
  return reader.ReadAll(items, "items");
}

// conv_x, conv_x/items or conv_x/items/msg_y.
struct Place {
  std::string conversation, item;
  bool items = false;
};
Place PlaceOf(const std::string& name) {
  constexpr std::string_view kItems = "/items";
  Place place;
  const size_t slash = name.find('/');
  place.conversation = name.substr(0, slash);
  if (slash == name.npos) return place;
  const std::string rest = name.substr(slash);
  place.items = rest == kItems || rest.starts_with("/items/");
  if (place.items && rest.size() > kItems.size()) place.item = rest.substr(kItems.size() + 1);
  if (!place.items) place.conversation = name;  // there is none of that name
  return place;
}

Error NoConversation(const std::string& id) {
  return {Cat("there is no conversation ", id), ErrorKind::kNotFound, "conversation_not_found"};
}
Error NoItem(const std::string& id) {
  return {Cat("there is no item ", id), ErrorKind::kNotFound, "item_not_found"};
}

OrderedJson ConversationObject(const std::string& id, const StoredConversation& stored) {
  return {{"id", id},
          {"object", "conversation"},
          {"created_at", stored.created},
          {"metadata", stored.metadata}};
}

}  // namespace

Result<void> CreateConversation(Service& service, Call& call) {
  ConversationRequest request;
  FACET_TRY(MakeFields(false).ReadAll(call.body, request, call.ignored.get()));
  FACET_TRY(CheckItems(service, request.items, call.ignored.get()));
  TellIgnored(call);
  const std::string id = RandomId("conv_", 40);
  StoredConversation stored;
  stored.items = std::move(request.items);
  if (request.metadata) stored.metadata = *std::move(request.metadata);
  service.conversations.Create(call.request.tenant, id, std::move(stored));
  const auto kept = service.conversations.Get(call.request.tenant, id);
  if (!kept) {
    return Error{
        "items: the conversation is too large to be kept", ErrorKind::kInvalid, {}, "items"};
  }
  SendJson(*call.exchange, ConversationObject(id, *kept));
  return Ok();
}

Result<void> GetConversation(Service& service, Call& call) {
  const Place place = PlaceOf(call.name);
  const auto stored = service.conversations.Get(call.request.tenant, place.conversation);
  if (!stored) return NoConversation(place.conversation);
  if (!place.items) {
    SendJson(*call.exchange, ConversationObject(place.conversation, *stored));
    return Ok();
  }
  if (place.item.empty()) {
    FACET_ASSIGN(const OrderedJson page, ItemPage(stored->items, call.request.query));
    SendJson(*call.exchange, page);
    return Ok();
  }
  for (const OrderedJson& item : stored->items) {
    if (item["id"] != place.item) continue;
    SendJson(*call.exchange, item);
    return Ok();
  }
  return NoItem(place.item);
}

Result<void> ChangeConversation(Service& service, Call& call) {
  const Place place = PlaceOf(call.name);
  if (!place.item.empty()) return NoItem(place.item);
  ConversationRequest request;
  FACET_TRY(MakeFields(place.items).ReadAll(call.body, request, call.ignored.get()));
  FACET_TRY(CheckItems(service, request.items, call.ignored.get()));
  TellIgnored(call);
  OrderedJson object;
  const bool found = service.conversations.Update(
      call.request.tenant, place.conversation, [&](StoredConversation& stored) {
        for (const OrderedJson& item : request.items) stored.items.push_back(item);
        if (request.metadata) stored.metadata = *request.metadata;
        object = ConversationObject(place.conversation, stored);
      });
  if (!found) return NoConversation(place.conversation);
  if (place.items) {
    FACET_ASSIGN(object, ItemPage(request.items, "order=asc&limit=100"));
  }
  SendJson(*call.exchange, object);
  return Ok();
}

Result<void> DeleteConversation(Service& service, Call& call) {
  const Place place = PlaceOf(call.name);
  if (place.items) {
    if (place.item.empty()) return NoItem(call.name);
    bool erased = false;
    OrderedJson object;
    const bool found = service.conversations.Update(
        call.request.tenant, place.conversation, [&](StoredConversation& stored) {
          OrderedJson kept = OrderedJson::array();
          for (OrderedJson& item : stored.items) {
            if (item["id"] == place.item) {
              erased = true;
            } else {
              kept.push_back(std::move(item));
            }
          }
          stored.items = std::move(kept);
          object = ConversationObject(place.conversation, stored);
        });
    if (!found) return NoConversation(place.conversation);
    if (!erased) return NoItem(place.item);
    SendJson(*call.exchange, object);
    return Ok();
  }
  if (!service.conversations.Erase(call.request.tenant, place.conversation))
    return NoConversation(place.conversation);
  SendJson(*call.exchange,
           {{"id", place.conversation}, {"object", "conversation.deleted"}, {"deleted", true}});
  return Ok();
}

}  // namespace facet::serve
