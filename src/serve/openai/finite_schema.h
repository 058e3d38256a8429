// Schemas that no finite text fits, because what they require leads back to itself.
#pragma once

#include "base/result.h"
#include "formats/json_fields.h"

namespace facet::serve {

// An error names the place of a reference that cannot end: {"$ref": "#"}, references in a ring, a
// required member of the object's own kind. Other faults of the schema are not looked for.
Result<void> CheckFinite(const OrderedJson& schema);

}  // namespace facet::serve
