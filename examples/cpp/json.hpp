// A small reader of JSON (RFC 8259) for files this toolkit wrote: enough for a manifest.

#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

class Json {
  public:
    static Json parse(const std::string& text) {
        Reader reader{text};
        Json value = reader.value(0);
        reader.space();
        if (reader.place != text.size()) reader.fail();
        return value;
    }

    const Json& operator[](const std::string& key) const {
        for (const auto& [name, value] : members_)
            if (name == key) return value;
        throw std::runtime_error("the JSON has no '" + key + "'");
    }

    const std::vector<Json>& items() const { return items_; }
    const std::string& text() const { return text_; }
    double number() const { return number_; }

  private:
    std::vector<std::pair<std::string, Json>> members_;
    std::vector<Json> items_;
    std::string text_;
    double number_ = 0.0;

    struct Reader {
        static constexpr int deepest = 64;
        const std::string& source;
        std::size_t place = 0;

        [[noreturn]] void fail() const {
            throw std::runtime_error("no JSON at byte " + std::to_string(place));
        }

        void space() {
            while (place < source.size() && std::strchr(" \t\r\n", source[place])) ++place;
        }

        bool take(char wanted) {
            space();
            if (place >= source.size() || source[place] != wanted) return false;
            ++place;
            return true;
        }

        void need(char wanted) {
            if (!take(wanted)) fail();
        }

        Json value(int depth) {
            if (depth > deepest) fail();
            Json json;
            if (take('{')) {
                if (take('}')) return json;
                do {
                    space();
                    std::string key = text();
                    need(':');
                    json.members_.emplace_back(std::move(key), value(depth + 1));
                } while (take(','));
                need('}');
            } else if (take('[')) {
                if (take(']')) return json;
                do json.items_.push_back(value(depth + 1));
                while (take(','));
                need(']');
            } else if (place < source.size() && source[place] == '"') {
                json.text_ = text();
            } else {
                json.number_ = word();
            }
            return json;
        }

        double word() {
            for (const auto& [name, number] :
                 {std::pair{"true", 1.0}, std::pair{"false", 0.0}, std::pair{"null", 0.0}})
                if (source.compare(place, std::strlen(name), name) == 0) {
                    place += std::strlen(name);
                    return number;
                }
            const std::size_t length = std::strspn(source.c_str() + place, "+-.0123456789eE");
            if (!length) fail();
            const std::string digits = source.substr(place, length);
            char* end = nullptr;
            const double number = std::strtod(digits.c_str(), &end);
            if (*end) fail();
            place += length;
            return number;
        }

        std::string text() {
            if (place >= source.size() || source[place] != '"') fail();
            std::string result;
            for (++place; place < source.size() && source[place] != '"'; ++place)
                if (source[place] == '\\')
                    escaped(result);
                else
                    result += source[place];
            if (place++ >= source.size()) fail();
            return result;
        }

        void escaped(std::string& result) {
            if (++place >= source.size()) fail();
            const char letter = source[place];
            static const std::string letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
            const std::size_t known = letters.find(letter);
            if (letter == 'u') {
                std::uint32_t point = four_digits();
                const bool paired = point >= 0xD800 && point < 0xDC00;
                if (paired && source.compare(place + 1, 2, "\\u") == 0) {
                    place += 2;
                    point = 0x10000 + ((point - 0xD800) << 10) + (four_digits() - 0xDC00);
                }
                append(result, point);
            } else if (known != std::string::npos) {
                result += meanings[known];
            } else {
                fail();
            }
        }

        std::uint32_t four_digits() {
            if (place + 4 >= source.size()) fail();
            const std::string digits = source.substr(place + 1, 4);
            char* end = nullptr;
            const auto point = std::uint32_t(std::strtoul(digits.c_str(), &end, 16));
            if (*end) fail();
            place += 4;
            return point;
        }

        static void append(std::string& result, std::uint32_t point) {
            const int more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
            constexpr int first[] = {0x00, 0xC0, 0xE0, 0xF0};
            result += char(first[more] | (point >> (6 * more)));
            for (int i = more - 1; i >= 0; --i) result += char(0x80 | ((point >> (6 * i)) & 0x3F));
        }
    };
};
