#include "base/result.h"

#include <cerrno>
#include <system_error>

namespace facet {
namespace {

ErrorKind KindOfErrno(int value) {
  switch (value) {
    case ENOENT:
    case ENOTDIR:
      return ErrorKind::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorKind::kPermission;
    case ENOSPC:
    case EDQUOT:
      return ErrorKind::kResource;
    default:
      return ErrorKind::kIo;
  }
}

}  // namespace

Error SystemError(int value, std::string_view what) {
  return {Cat(what, ": ", std::generic_category().message(value)), KindOfErrno(value)};
}

}  // namespace facet
