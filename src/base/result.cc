#include "base/result.h"

#include <cerrno>
#include <system_error>

namespace facet {

Error SystemError(int value, std::string_view what) {
  const ErrorKind kind = value == ENOENT || value == ENOTDIR ? ErrorKind::kNotFound
                         : value == EACCES || value == EPERM ? ErrorKind::kPermission
                                                             : ErrorKind::kIo;
  return {Cat(what, ": ", std::generic_category().message(value)), kind};
}

}  // namespace facet
