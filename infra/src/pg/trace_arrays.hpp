#pragma once

#include "domain/trace_context.hpp"
#include "pg/binary.hpp"

#include <string_view>

namespace infra::pg {

inline void add_text_or_null(BinaryArray& array, std::string_view text)
{
    if (text.empty()) {
        array.add_null();
    } else {
        array.add_text(text);
    }
}

// The two columns of a trace, for one table.
struct TraceArrays {
    void add(const domain::TraceContext* trace)
    {
        add_text_or_null(parent, trace == nullptr ? std::string_view() : trace->parent);
        add_text_or_null(state, trace == nullptr ? std::string_view() : trace->state);
    }

    BinaryArray parent{BinaryArray::Element::text}, state{BinaryArray::Element::text};
};

}  // namespace infra::pg
