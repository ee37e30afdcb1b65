// The retina's aperture in a picture, as realmnet_runtime.find_field_of_view looks for it.
//
// One file of C++17 without dependencies. It follows the Python modules field_of_view, _aperture,
// _surround, _rim_path and quality of realmnet_runtime function by function; what OpenCV and NumPy
// do there stands at the top of this file. Tests hold the two together. Research use only.
//
//     realmnet::FieldOfView field = realmnet::find_field_of_view({rgb, height, width});
//     // field.box: x0, y0, x1, y1 in pixels, half-open; field.mask: height * width, 0 or 1
//
// Throws realmnet::NoFieldOfView where there is none: such a picture must not be answered.

#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace realmnet {

using Byte = std::uint8_t;

// Decoded pixels of somebody else: height rows of width times R, G, B, without padding.
struct Picture {
    const Byte* rgb;
    int height;
    int width;
};

struct Box {
    int x0, y0, x1, y1;
};

struct FieldOfView {
    Box box;
    std::vector<Byte> mask;
};

class NoFieldOfView : public std::runtime_error {
  public:
    explicit NoFieldOfView(const std::string& why)
        : std::runtime_error("no field of view: " + why) {}
};

FieldOfView find_field_of_view(const Picture& picture);

// Share of the light inside the aperture that is not grey, 0..1. Below 0.25 the runtime refuses a
// picture: it is an angiogram or an autofluorescence, which the model has never seen.
double saturation(const Picture& picture, const FieldOfView& field_of_view);

constexpr double least_saturation = 0.25;

namespace detail {

// ---- planes of bytes, and what OpenCV does with them ------------------------------------------

struct Plane {
    int height = 0, width = 0, channels = 1;
    std::vector<Byte> values;

    Plane() = default;
    Plane(int h, int w, int c = 1)
        : height(h), width(w), channels(c), values(std::size_t(h) * w * c, 0) {}

    Byte& at(int y, int x, int c = 0) {
        return values[(std::size_t(y) * width + x) * channels + c];
    }
    Byte at(int y, int x, int c = 0) const {
        return values[(std::size_t(y) * width + x) * channels + c];
    }
};

inline Plane cut(const Plane& plane, int x0, int y0, int x1, int y1) {
    x1 = std::min(x1, plane.width);
    y1 = std::min(y1, plane.height);
    Plane part(std::max(y1 - y0, 0), std::max(x1 - x0, 0), plane.channels);
    for (int y = 0; y < part.height; ++y) {
        const Byte* from = &plane.values[(std::size_t(y + y0) * plane.width + x0) * plane.channels];
        std::copy_n(from, std::size_t(part.width) * part.channels,
                    part.values.begin() + std::ptrdiff_t(y) * part.width * part.channels);
    }
    return part;
}

// Halves go to the even neighbour, as everywhere in OpenCV and NumPy.
inline int round_to_even(double value) { return int(std::nearbyint(value)); }

// Index inside 0..size-1 of a place beyond an edge, mirrored without repeating the edge.
inline int mirrored(int index, int size) {
    if (size == 1) return 0;
    while (index < 0 || index >= size) index = index < 0 ? -index : 2 * size - 2 - index;
    return index;
}

// Means over rectangles of whole pixels (cv2.resize with INTER_AREA by whole numbers).
inline Plane averaged(const Byte* pixels, int stride, int channels, int rows, int columns,
                      int down, int across) {
    Plane means(rows, columns, channels);
    const float share = 1.0f / float(down * across);
    for (int y = 0; y < rows; ++y)
        for (int x = 0; x < columns; ++x)
            for (int c = 0; c < channels; ++c) {
                int sum = 0;
                for (int v = 0; v < down; ++v) {
                    const Byte* row = pixels + (std::size_t(y) * down + v) * stride;
                    for (int u = 0; u < across; ++u) sum += row[(x * across + u) * channels + c];
                }
                const bool by_two = down == 2 && across == 2;
                means.at(y, x, c) = Byte(by_two ? (sum + 2) >> 2 : round_to_even(float(sum) * share));
            }
    return means;
}

// cv2.GaussianBlur with a kernel of three by three.
inline Plane smoothed(const Plane& plane) {
    Plane smooth(plane.height, plane.width, plane.channels);
    for (int y = 0; y < plane.height; ++y) {
        const int above = mirrored(y - 1, plane.height), below = mirrored(y + 1, plane.height);
        for (int x = 0; x < plane.width; ++x) {
            const int left = mirrored(x - 1, plane.width), right = mirrored(x + 1, plane.width);
            for (int c = 0; c < plane.channels; ++c) {
                const auto across = [&](int row) {
                    return plane.at(row, left, c) + 2 * plane.at(row, x, c) + plane.at(row, right, c);
                };
                smooth.at(y, x, c) = Byte((across(above) + 2 * across(y) + across(below) + 8) >> 4);
            }
        }
    }
    return smooth;
}

// cv2.blur with a square of an odd side: the rounded mean around each pixel.
inline Plane neighbourhood_mean(const Plane& plane, int side) {
    const int reach = side / 2;
    std::vector<int> across(plane.values.size());
    for (int y = 0; y < plane.height; ++y)
        for (int x = 0; x < plane.width; ++x) {
            int sum = 0;
            for (int u = -reach; u <= reach; ++u) sum += plane.at(y, mirrored(x + u, plane.width));
            across[std::size_t(y) * plane.width + x] = sum;
        }
    Plane mean(plane.height, plane.width);
    for (int y = 0; y < plane.height; ++y)
        for (int x = 0; x < plane.width; ++x) {
            int sum = 0;
            for (int v = -reach; v <= reach; ++v)
                sum += across[std::size_t(mirrored(y + v, plane.height)) * plane.width + x];
            mean.at(y, x) = Byte(round_to_even(double(sum) / (side * side)));
        }
    return mean;
}

// What is set everywhere (erode) or anywhere (dilate) among the eight neighbours and the pixel
// itself; what lies beyond the edge has no say.
inline Plane of_neighbours(const Plane& plane, bool everywhere) {
    Plane result(plane.height, plane.width);
    for (int y = 0; y < plane.height; ++y)
        for (int x = 0; x < plane.width; ++x) {
            bool all = true, any = false;
            for (int v = std::max(y - 1, 0); v <= std::min(y + 1, plane.height - 1); ++v)
                for (int u = std::max(x - 1, 0); u <= std::min(x + 1, plane.width - 1); ++u) {
                    all = all && plane.at(v, u);
                    any = any || plane.at(v, u);
                }
            result.at(y, x) = everywhere ? all : any;
        }
    return result;
}

// The least grey level that at least a share of the values do not exceed.
inline int grey_quantile(const std::vector<Byte>& greys, double share) {
    std::array<std::int64_t, 256> counts{};
    for (Byte grey : greys) ++counts[grey];
    std::int64_t not_brighter = 0;
    for (int level = 0; level < 256; ++level) {
        not_brighter += counts[level];
        if (double(not_brighter) >= share * double(greys.size())) return level;
    }
    return 255;
}

inline double standard_deviation(const std::vector<Byte>& values) {
    if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / double(values.size());
    double squares = 0.0;
    for (Byte value : values) squares += (value - mean) * (value - mean);
    return std::sqrt(squares / double(values.size()));
}

// ---- points ------------------------------------------------------------------------------------

struct Point {
    float x, y;
};

using Outline = std::vector<Point>;

struct Extent {
    Point low, high;
};

inline Extent extent(const Outline& outline) {
    Extent found{outline.front(), outline.front()};
    for (const Point& point : outline) {
        found.low = {std::min(found.low.x, point.x), std::min(found.low.y, point.y)};
        found.high = {std::max(found.high.x, point.x), std::max(found.high.y, point.y)};
    }
    return found;
}

// Andrew's monotone chain, in one turning direction, without points on an edge.
inline Outline convex_hull(Outline points) {
    std::sort(points.begin(), points.end(), [](const Point& a, const Point& b) {
        return a.x < b.x || (a.x == b.x && a.y < b.y);
    });
    points.erase(std::unique(points.begin(), points.end(),
                             [](const Point& a, const Point& b) { return a.x == b.x && a.y == b.y; }),
                 points.end());
    if (points.size() < 3) return points;
    const auto turn = [](const Point& o, const Point& a, const Point& b) {
        return (double(a.x) - o.x) * (double(b.y) - o.y) - (double(a.y) - o.y) * (double(b.x) - o.x);
    };
    Outline hull;
    for (int pass = 0; pass < 2; ++pass) {
        const std::size_t start = hull.size();
        for (const Point& point : points) {
            while (hull.size() >= start + 2 && turn(hull[hull.size() - 2], hull.back(), point) <= 0)
                hull.pop_back();
            hull.push_back(point);
        }
        hull.pop_back();
        std::reverse(points.begin(), points.end());
    }
    return hull;
}

// ---- _surround: the black surround, and the convex outline of what is lit inside it ------------

constexpr int working_long_side = 384;
constexpr int least_smoothed_side = 256;
constexpr double smallest_lit_share = 0.02;
constexpr double smallest_part_of_largest = 0.03;
constexpr int part_cell = 4;
constexpr int neighbourhood = 9;
constexpr float neighbour_share = 0.6f;
constexpr int brightest_black = 12;
constexpr int darkest_surrounds = 8;
constexpr int brightest_surround = 48;
constexpr int level_tolerance = 4;
constexpr double least_above_surround = 8.0;

// A part of a picture, reduced by a whole number; origin and size in pixels of the picture.
struct WorkingCopy {
    Plane picture;
    Plane luminance;
    int factor;
    int origin_x, origin_y;
    int width, height;
};

// The largest power of two that leaves the longer side at least working_long_side.
inline int whole_factor(int height, int width) {
    int factor = 1;
    while (std::max(height, width) / (2 * factor) >= working_long_side) factor *= 2;
    return factor;
}

inline Plane brightest_channel(const Plane& picture) {
    Plane brightest(picture.height, picture.width);
    for (std::size_t i = 0; i < brightest.values.size(); ++i) {
        const Byte* pixel = &picture.values[3 * i];
        brightest.values[i] = std::max({pixel[0], pixel[1], pixel[2]});
    }
    return brightest;
}

inline WorkingCopy reduce(const Picture& image, int x0, int y0, int x1, int y1) {
    WorkingCopy copy;
    copy.width = x1 - x0;
    copy.height = y1 - y0;
    copy.origin_x = x0;
    copy.origin_y = y0;
    copy.factor =
        std::min({whole_factor(copy.height, copy.width), copy.height, copy.width});
    const Byte* first = image.rgb + (std::size_t(y0) * image.width + x0) * 3;
    copy.picture = averaged(first, image.width * 3, 3, copy.height / copy.factor,
                            copy.width / copy.factor, copy.factor, copy.factor);
    if (std::max(copy.picture.height, copy.picture.width) >= least_smoothed_side)
        copy.picture = smoothed(copy.picture);
    copy.luminance = brightest_channel(copy.picture);
    return copy;
}

inline WorkingCopy cut(const WorkingCopy& copy, const Point& low, const Point& high) {
    const auto first = [&](double place, int origin) {
        return int(std::max(std::floor((place - origin) / copy.factor), 0.0));
    };
    const auto last = [&](double place, int origin) {
        return int(std::ceil((place - origin) / copy.factor));
    };
    const int x0 = first(low.x, copy.origin_x), y0 = first(low.y, copy.origin_y);
    const int x1 = last(high.x, copy.origin_x), y1 = last(high.y, copy.origin_y);
    WorkingCopy part;
    part.picture = cut(copy.picture, x0, y0, x1, y1);
    part.luminance = cut(copy.luminance, x0, y0, x1, y1);
    part.factor = copy.factor;
    part.origin_x = copy.origin_x + x0 * copy.factor;
    part.origin_y = copy.origin_y + y0 * copy.factor;
    part.width = std::min(x1 * copy.factor, copy.width) - x0 * copy.factor;
    part.height = std::min(y1 * copy.factor, copy.height) - y0 * copy.factor;
    return part;
}

inline std::vector<Byte> edge_ring(const Plane& luminance) {
    const int height = luminance.height, width = luminance.width;
    std::vector<Byte> ring;
    const auto add = [&](int x0, int y0, int x1, int y1) {
        const Plane side = cut(luminance, x0, y0, x1, y1);
        ring.insert(ring.end(), side.values.begin(), side.values.end());
    };
    add(0, 0, width, 2);
    add(0, std::max(height - 2, 0), width, height);
    add(0, 0, 2, height);
    add(std::max(width - 2, 0), 0, width, height);
    return ring;
}

// The grey level above which a pixel is lit rather than part of a black surround.
inline double surround_threshold(const Plane& luminance) {
    const std::vector<Byte> ring = edge_ring(luminance);
    int level = grey_quantile(ring, 0.10);
    std::vector<Byte> flat;
    for (Byte grey : ring)
        if (std::abs(grey - level) <= level_tolerance) flat.push_back(grey);
    double spread = standard_deviation(flat);
    // A dark vignette reaches the picture's edge too, but unlike a surround it is nowhere level.
    const bool level_enough = double(flat.size()) >= 0.2 * double(ring.size()) && spread <= 2.0;
    if (level > darkest_surrounds && !(level <= brightest_surround && level_enough)) {
        level = 0;
        spread = 0.0;
    }
    std::vector<Byte> lit;
    for (int y = 0; y < luminance.height; y += 4)
        for (int x = 0; x < luminance.width; x += 4)
            if (luminance.at(y, x) > level + 2) lit.push_back(luminance.at(y, x));
    const int bright = lit.empty() ? 0 : grey_quantile(lit, 0.98);
    const double least = std::clamp(bright / 12.0, 3.0, 10.0);
    if (level <= 4) return least;
    return std::max(least, level + std::max(least_above_surround, 4.0 * spread));
}

// Numbers of the connected parts (four neighbours), from 1 on, and how many pixels each has.
inline std::vector<int> label_parts(const Plane& plane, std::vector<int>& areas) {
    std::vector<int> labels(plane.values.size(), 0);
    std::vector<int> pending;
    for (int start = 0; start < int(labels.size()); ++start) {
        if (!plane.values[start] || labels[start]) continue;
        areas.push_back(0);
        const int label = int(areas.size());
        labels[start] = label;
        pending.push_back(start);
        while (!pending.empty()) {
            const int here = pending.back(), x = here % plane.width, y = here / plane.width;
            pending.pop_back();
            ++areas.back();
            const auto visit = [&](int v, int u) {
                if (v < 0 || u < 0 || v >= plane.height || u >= plane.width) return;
                const int there = v * plane.width + u;
                if (!plane.values[there] || labels[there]) return;
                labels[there] = label;
                pending.push_back(there);
            };
            visit(y - 1, x);
            visit(y + 1, x);
            visit(y, x - 1);
            visit(y, x + 1);
        }
    }
    return labels;
}

inline Plane without_small_parts(const Plane& lit) {
    // Parts are told apart on cells of four by four.
    Plane cells((lit.height + part_cell - 1) / part_cell, (lit.width + part_cell - 1) / part_cell);
    for (int y = 0; y < lit.height; ++y)
        for (int x = 0; x < lit.width; ++x)
            if (lit.at(y, x)) cells.at(y / part_cell, x / part_cell) = 1;
    std::vector<int> areas;
    const std::vector<int> labels = label_parts(cells, areas);
    if (areas.size() < 2) return lit;
    const double least = smallest_part_of_largest * *std::max_element(areas.begin(), areas.end());
    Plane kept(lit.height, lit.width);
    for (int y = 0; y < lit.height; ++y)
        for (int x = 0; x < lit.width; ++x) {
            const int label = labels[(y / part_cell) * cells.width + x / part_cell];
            kept.at(y, x) = lit.at(y, x) && label && areas[label - 1] >= least;
        }
    return kept;
}

inline Plane lit_region(const Plane& luminance) {
    const int threshold = Byte(surround_threshold(luminance));
    // Compression rings a few grey levels into the surround beside a bright edge, so a pixel must
    // also be no stranger to its neighbourhood.
    const Plane around = neighbourhood_mean(luminance, neighbourhood);
    Plane above(luminance.height, luminance.width);
    for (std::size_t i = 0; i < above.values.size(); ++i) {
        const int floor = round_to_even(float(around.values[i]) * neighbour_share);
        above.values[i] = luminance.values[i] > std::max(floor, threshold);
    }
    return without_small_parts(of_neighbours(of_neighbours(above, true), false));
}

// The convex outline of the lit part in pixels of the picture; pixel i covers i to i + 1.
inline Outline lit_outline(const WorkingCopy& copy) {
    const Plane region = lit_region(copy.luminance);
    const auto& greys = copy.luminance.values;
    if (*std::max_element(greys.begin(), greys.end()) <= brightest_black)
        throw NoFieldOfView("the picture is black");
    const auto lit = std::count(region.values.begin(), region.values.end(), 1);
    if (double(lit) / double(region.values.size()) < smallest_lit_share)
        throw NoFieldOfView("next to nothing of the picture is lit in large pieces");
    Outline corners;
    for (int y = 0; y < region.height; ++y) {
        const auto row = region.values.begin() + std::ptrdiff_t(y) * region.width;
        const auto first = std::find(row, row + region.width, 1);
        if (first == row + region.width) continue;
        int last = region.width;
        while (!region.at(y, last - 1)) --last;
        for (int x : {int(first - row), last})
            for (int edge : {y, y + 1}) corners.push_back({float(x), float(edge)});
    }
    Outline outline = convex_hull(corners);
    // The strip that whole-number reduction drops at the right and below belongs to its neighbour.
    for (Point& point : outline) {
        point.x = point.x >= region.width ? copy.width : point.x * copy.factor;
        point.y = point.y >= region.height ? copy.height : point.y * copy.factor;
        point.x += copy.origin_x;
        point.y += copy.origin_y;
    }
    return outline;
}

struct LitPart {
    WorkingCopy copy;
    Outline outline;
};

inline LitPart lit_part(const Picture& image) {
    LitPart found{reduce(image, 0, 0, image.width, image.height), {}};
    found.outline = lit_outline(found.copy);
    // Where wide margins leave the lit part few pixels it is cut out and looked at again.
    const Extent lit = extent(found.outline);
    const int margin = 3 * found.copy.factor;
    const int x0 = std::max(int(lit.low.x) - margin, 0), y0 = std::max(int(lit.low.y) - margin, 0);
    const int x1 = std::min(int(std::ceil(lit.high.x)) + margin, image.width);
    const int y1 = std::min(int(std::ceil(lit.high.y)) + margin, image.height);
    if (whole_factor(y1 - y0, x1 - x0) < found.copy.factor) {
        found.copy = reduce(image, x0, y0, x1, y1);
        found.outline = lit_outline(found.copy);
    }
    return found;
}

// ---- _rim_path: the best closed path around a polar map ----------------------------------------

constexpr int angles = 96;
constexpr int radii = 96;
constexpr float impossible = -1e6f;
constexpr int farthest_step = 6;
constexpr double step_cost = 0.05;

using PolarMap = std::array<std::array<float, radii>, angles>;
using PerAngle = std::array<int, angles>;

inline float cost_of(int step) { return float(-step_cost * std::abs(step)); }

// The radius of each angle on the closed path of the largest total score. A path moves at most six
// radii a turn, but freely from one angle's last radius to the next one's.
inline PerAngle closed_path(const PolarMap& score, const PerAngle& last) {
    // A quarter of a turn more lets the ends of the chain forget that they were ends.
    constexpr int spare = angles / 8, turns = angles + 2 * spare;
    std::vector<std::array<float, radii>> best(turns);
    const auto reached = [&](int turn, int radius) {
        return radius < 0 || radius >= radii ? impossible : best[turn][radius];
    };
    best[0] = score[0];
    for (int turn = 1; turn < turns; ++turn) {
        const int angle = turn % angles, end = last[angle], before = last[(turn - 1) % angles];
        for (int radius = 0; radius < radii; ++radius) {
            float arrived = -std::numeric_limits<float>::infinity();
            for (int step = -farthest_step; step <= farthest_step; ++step)
                arrived = std::max(arrived, reached(turn - 1, radius + step) + cost_of(step));
            if (radius == end) arrived = std::max(arrived, best[turn - 1][before]);
            best[turn][radius] = arrived + score[angle][radius];
        }
    }
    std::array<int, turns> path{};
    int here = int(std::max_element(best.back().begin(), best.back().end()) - best.back().begin());
    for (int turn = turns - 1; turn > 0; --turn) {
        path[turn] = here;
        int step = -farthest_step;
        const auto value = [&](int by) { return reached(turn - 1, here + by) + cost_of(by); };
        for (int other = step + 1; other <= farthest_step; ++other)
            if (value(other) > value(step)) step = other;
        const int before = last[(turn - 1) % angles];
        const bool along_the_edge =
            here == last[turn % angles] && best[turn - 1][before] >= value(step);
        here = along_the_edge ? before : here + step;
    }
    path[0] = here;
    PerAngle closed{};
    for (int turn = spare; turn < spare + angles; ++turn) closed[turn % angles] = path[turn];
    return closed;
}

// Where between its neighbours a score peaks, by a parabola: -0.5..0.5 of an index.
inline float between_indices(const std::array<float, radii>& score, int radius) {
    const float here = score[radius];
    const float below = score[std::max(radius - 1, 0)];
    const float above = score[std::min(radius + 1, radii - 1)];
    const float bend = below - 2.0f * here + above;
    if (!(bend < -1e-6f) || !(std::min(below, above) > impossible / 2)) return 0.0f;
    return std::clamp(0.5f * (below - above) / bend, -0.5f, 0.5f);
}

// ---- _aperture: where retina gives way to lids, skin and the instrument ------------------------

constexpr double pi = 3.14159265358979323846;
constexpr double innermost = 0.72, outermost = 1.43;
constexpr int rise_width = 7;
constexpr double largest_rise = 0.9;
constexpr float green_weight = 0.5f;
constexpr int retreat = 5;
constexpr double retreat_cost = 0.04;
constexpr double soft_fall = 0.2, largest_fall = 1.3;
constexpr int fall_memory = 8;
constexpr double dark_level = 20.0, dim_level = 60.0;
constexpr float open_reward = 0.45f;
constexpr int looks = 3;
constexpr float still = 0.005f;

inline double radius_of(int index) {
    return innermost + index * ((outermost - innermost) / (radii - 1));
}

inline double angle_of(int index) { return index * (2.0 * pi / angles); }

// How far each ray from the origin runs before it leaves a convex outline around it.
inline std::array<double, angles> reach(const Outline& outline) {
    std::array<double, angles> limit;
    limit.fill(std::numeric_limits<double>::infinity());
    for (std::size_t i = 0; i < outline.size(); ++i) {
        const Point& here = outline[i];
        const Point& next = outline[(i + 1) % outline.size()];
        double normal_x = next.y - here.y, normal_y = -(next.x - here.x);
        double offset = normal_x * here.x + normal_y * here.y;
        if (std::abs(offset) <= 1e-9) continue;
        const double sign = offset < 0 ? -1.0 : 1.0;
        offset *= sign;
        for (int a = 0; a < angles; ++a) {
            const double along =
                sign * (std::cos(angle_of(a)) * normal_x + std::sin(angle_of(a)) * normal_y);
            if (along > 1e-9) limit[a] = std::min(limit[a], offset / along);
        }
    }
    return limit;
}

struct Polar {
    PolarMap brightness, greenness;
    double floor;
};

// A channel between four pixels, edges repeated (cv2.remap with INTER_LINEAR).
inline Byte between_pixels(const Plane& picture, float x, float y, int channel) {
    const float whole_x = std::floor(x), whole_y = std::floor(y);
    const float right = x - whole_x, below = y - whole_y;
    const auto pixel = [&](int row, int column) {
        return float(picture.at(std::clamp(row, 0, picture.height - 1),
                                std::clamp(column, 0, picture.width - 1), channel));
    };
    const int column = int(whole_x), row = int(whole_y);
    const auto across = [&](int line) {
        const float left = pixel(line, column);
        return left + right * (pixel(line, column + 1) - left);
    };
    const float upper = across(row);
    return Byte(round_to_even(upper + below * (across(row + 1) - upper)));
}

// Logarithms of luminance and of green over red at (angle, radius), and the grey floor.
inline Polar along_rays(const WorkingCopy& copy, const Extent& lit) {
    const float span_x = (lit.high.x - lit.low.x) / copy.factor;
    const float span_y = (lit.high.y - lit.low.y) / copy.factor;
    const float start_x = float((double(lit.low.x) - copy.origin_x) / copy.factor - 0.5);
    const float start_y = float((double(lit.low.y) - copy.origin_y) / copy.factor - 0.5);
    Plane sampled(angles, radii, 3);
    for (int a = 0; a < angles; ++a)
        for (int r = 0; r < radii; ++r) {
            const double radius = radius_of(r);
            const float x = float((std::cos(angle_of(a)) * radius + 1.0) / 2.0) * span_x + start_x;
            const float y = float((std::sin(angle_of(a)) * radius + 1.0) / 2.0) * span_y + start_y;
            for (int c = 0; c < 3; ++c) sampled.at(a, r, c) = between_pixels(copy.picture, x, y, c);
        }
    const Plane luminance = brightest_channel(sampled);
    // A picture's own brightness sets where contrast starts to count, so that dim angiograms work.
    Polar polar;
    polar.floor = std::clamp(grey_quantile(luminance.values, 0.95) / 16.0, 2.0, 10.0);
    const auto logarithm = [&](Byte grey) { return float(std::log(grey + polar.floor)); };
    for (int a = 0; a < angles; ++a)
        for (int r = 0; r < radii; ++r) {
            polar.brightness[a][r] = logarithm(luminance.at(a, r));
            polar.greenness[a][r] =
                logarithm(sampled.at(a, r, 1)) - logarithm(sampled.at(a, r, 0));
        }
    return polar;
}

using Ray = std::array<float, radii>;

// How far the mean just outside each radius lies above the mean just inside.
inline Ray rise_along(const Ray& values, int reached) {
    std::array<float, radii + 1> total{};
    for (int r = 0; r < radii; ++r) total[r + 1] = total[r] + values[r];
    Ray rise{};
    for (int r = 0; r + 2 <= reached; ++r) {
        const int stop = std::min(r + rise_width, reached), start = std::max(r - rise_width, 0);
        const double outside = double(total[stop] - total[r]) / std::max(stop - r, 1);
        const double inside = double(total[r] - total[start]) / std::max(r - start, 1);
        rise[r] = float(std::clamp(outside - inside, 0.0, largest_rise));
    }
    // A rise counts a little inward too, because the dark line before it is where the rim is.
    for (int back = 1; back <= retreat; ++back)
        for (int r = 0; r + back < radii; ++r)
            rise[r] = std::max(rise[r], rise[r + back] - float(retreat_cost * back));
    return rise;
}

// How crisply each radius drops into a dark line from where nothing was dark.
inline Ray fall_along(const Ray& brightness, double floor, int reached) {
    Ray pair = brightness;
    for (int r = 0; r + 1 < radii; ++r) pair[r] = (brightness[r] + brightness[r + 1]) / 2.0f;
    Ray inside;
    for (int r = 0; r < radii; ++r) inside[r] = r < 2 ? brightness[r] : pair[r - 2];
    const double dark = std::log(floor + dark_level), dim = std::log(floor + dim_level);
    Ray fall{};
    for (int r = 0; r + 2 <= reached; ++r) {
        const auto newest = inside.begin() + r + 1;
        const float behind = *std::min_element(inside.begin() + std::max(r - fall_memory, 0), newest);
        const double darkness = std::clamp((dim - pair[r]) / (dim - dark), 0.0, 1.0);
        fall[r] = float(std::clamp(double(behind - pair[r]) - soft_fall, 0.0, largest_fall) * darkness);
    }
    return fall;
}

// How much each (angle, radius) looks like the rim; the last one within reach is open.
inline PolarMap rim_scores(const Polar& polar, const std::array<double, angles>& limit,
                           const PerAngle& last) {
    PolarMap score;
    for (int a = 0; a < angles; ++a) {
        int reached = 0;
        while (reached < radii && radius_of(reached) <= limit[a] - 0.01) ++reached;
        Ray green_light;
        for (int r = 0; r < radii; ++r)
            green_light[r] = polar.brightness[a][r] + green_weight * polar.greenness[a][r];
        const Ray rise = rise_along(green_light, reached);
        const Ray fall = fall_along(polar.brightness[a], polar.floor, reached);
        for (int r = 0; r < radii; ++r) {
            const bool possible = reached >= r + 2 && r >= rise_width && last[a] > r;
            score[a][r] = possible ? rise[r] + fall[r] : impossible;
        }
        score[a][last[a]] = open_reward;
    }
    return score;
}

inline Outline rim_outline(const WorkingCopy& copy, const Outline& lit) {
    const Extent bounds = extent(lit);
    const Point centre{(bounds.low.x + bounds.high.x) / 2.0f, (bounds.low.y + bounds.high.y) / 2.0f};
    const Point half{(bounds.high.x - bounds.low.x) / 2.0f, (bounds.high.y - bounds.low.y) / 2.0f};
    Outline vertices;
    for (const Point& point : lit)
        vertices.push_back({(point.x - centre.x) / half.x, (point.y - centre.y) / half.y});
    const std::array<double, angles> limit = reach(vertices);
    PerAngle last{};
    for (int a = 0; a < angles; ++a)
        while (last[a] < radii - 1 && radius_of(last[a]) < limit[a] - 0.005) ++last[a];
    const PolarMap score = rim_scores(along_rays(copy, bounds), limit, last);
    const PerAngle path = closed_path(score, last);
    Outline outline;
    const auto add = [&](double x, double y) {
        outline.push_back({float(x * half.x + centre.x), float(y * half.y + centre.y)});
    };
    for (int a = 0; a < angles; ++a) {
        double radius = limit[a];
        if (path[a] < last[a]) {
            const double shift = between_indices(score[a], path[a]);
            radius = std::min(radius_of(path[a]) + shift * (radius_of(1) - radius_of(0)), limit[a]);
        }
        add(std::cos(angle_of(a)) * radius, std::sin(angle_of(a)) * radius);
    }
    // Between two open rays the lit outline itself is the rim, corners included.
    for (const Point& vertex : vertices) {
        float turn = std::atan2(vertex.y, vertex.x) / float(2.0 * pi);
        if (turn < 0.0f) turn += 1.0f;
        const int before = int(std::floor(turn * angles)) % angles, after = (before + 1) % angles;
        if (path[before] >= last[before] && path[after] >= last[after]) add(vertex.x, vertex.y);
    }
    return convex_hull(outline);
}

inline Outline aperture_outline(WorkingCopy copy, Outline lit) {
    Outline outline = rim_outline(copy, lit);
    // Cutting a picture to its box must not change the answer, so the answer is looked for again in
    // what such a cut would leave, until it stands still.
    for (int look = 1; look < looks; ++look) {
        const Extent found = extent(outline), bounds = extent(lit);
        const Point low{std::nearbyint(found.low.x), std::nearbyint(found.low.y)};
        const Point high{std::nearbyint(found.high.x), std::nearbyint(found.high.y)};
        const float cut_x = std::max(low.x - bounds.low.x, bounds.high.x - high.x);
        const float cut_y = std::max(low.y - bounds.low.y, bounds.high.y - high.y);
        if (cut_x <= still * (high.x - low.x) && cut_y <= still * (high.y - low.y)) break;
        copy = cut(copy, low, high);
        lit = lit_outline(copy);
        outline = rim_outline(copy, lit);
    }
    return outline;
}

// ---- field_of_view -----------------------------------------------------------------------------

constexpr int smallest_side = 32;
constexpr int smallest_lit_side = 16;
constexpr int areas_a_side = 16;
constexpr double least_contrast = 3.0;
constexpr double largest_roughness = 0.5;
constexpr double paper_white = 150.0;
constexpr int subpixels = 16;

inline double median(std::vector<Byte> values) {
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2.0;
}

inline void refuse_non_pictures(const WorkingCopy& copy, const Outline& lit) {
    const Extent bounds = extent(lit);
    const auto scaled = [&](double place, int origin) { return (place - origin) / copy.factor; };
    const Plane part = cut(copy.picture, int(std::floor(scaled(bounds.low.x, copy.origin_x))),
                           int(std::floor(scaled(bounds.low.y, copy.origin_y))),
                           int(std::ceil(scaled(bounds.high.x, copy.origin_x))),
                           int(std::ceil(scaled(bounds.high.y, copy.origin_y))));
    if (std::min(part.height, part.width) < smallest_lit_side)
        throw NoFieldOfView("the lit part is too small or too narrow for a retina");
    Plane green(part.height, part.width);
    for (std::size_t i = 0; i < green.values.size(); ++i) green.values[i] = part.values[3 * i + 1];
    const Plane means = averaged(green.values.data(), green.width, 1, areas_a_side, areas_a_side,
                                 green.height / areas_a_side, green.width / areas_a_side);
    const double contrast = standard_deviation(means.values);
    double steps = 0.0;
    for (int y = 0; y < green.height; ++y)
        for (int x = 1; x < green.width; ++x) steps += std::abs(green.at(y, x) - green.at(y, x - 1));
    const double roughness = steps / (double(green.height) * (green.width - 1));
    if (contrast < least_contrast && roughness < least_contrast)
        throw NoFieldOfView("the picture is blank");
    std::vector<Byte> palest;
    for (int y = 0; y < part.height; y += 8)
        for (int x = 0; x < part.width; x += 8)
            palest.push_back(std::min({part.at(y, x, 0), part.at(y, x, 1), part.at(y, x, 2)}));
    if (median(palest) > paper_white) throw NoFieldOfView("most of the picture is white");
    if (roughness > largest_roughness * contrast) throw NoFieldOfView("the picture is noise");
}

// First and last pixel of each row.
struct Rows {
    int width;
    std::vector<int> first, last;

    Rows(int height, int w) : width(w), first(height, w), last(height, -1) {}

    void mark(std::int64_t x, std::int64_t y) {
        const int column = int(std::clamp<std::int64_t>(x, 0, width - 1));
        const auto row = std::size_t(std::clamp<std::int64_t>(y, 0, std::int64_t(first.size()) - 1));
        first[row] = std::min(first[row], column);
        last[row] = std::max(last[row], column);
    }
};

// Whole numbers of 65,536ths of a pixel, counted from pixel centres.
struct Fixed {
    std::int64_t x, y;
};

constexpr int fixed_bits = 16;

inline std::int64_t nearest(std::int64_t place) {
    return (place + (std::int64_t(1) << (fixed_bits - 1))) >> fixed_bits;
}

// The pixels an edge passes through, one in each column or, where it is steep, in each row.
inline void mark_edge(Rows& rows, Fixed from, Fixed to) {
    const bool steep = std::abs(to.y - from.y) >= std::abs(to.x - from.x);
    if (steep ? to.y < from.y : to.x < from.x) std::swap(from, to);
    const std::int64_t along = steep ? to.y - from.y : to.x - from.x;
    const std::int64_t aside = steep ? to.x - from.x : to.y - from.y;
    const std::int64_t slope = aside * (std::int64_t(1) << fixed_bits) / (along | 1);
    for (std::int64_t step = 0; step <= along >> fixed_bits; ++step)
        if (steep)
            rows.mark(nearest(from.x + step * slope), nearest(from.y) + step);
        else
            rows.mark(nearest(from.x) + step, nearest(from.y + step * slope));
    rows.mark(nearest(to.x), nearest(to.y));
}

// The side of the area in each row that an edge crosses, from its upper end's row on.
inline void mark_side(Rows& rows, Fixed from, Fixed to) {
    if (to.y < from.y) std::swap(from, to);
    const std::int64_t top = nearest(from.y), count = nearest(to.y) - top;
    if (!count) return;
    const std::int64_t slope = ((to.x - from.x) * 2 + count) / (2 * count);
    for (std::int64_t row = 0; row < count; ++row)
        rows.mark(nearest(from.x + row * slope), top + row);
}

// The pixels of a convex outline, as cv2.fillConvexPoly draws them: those that its edges pass
// through and those between them.
inline FieldOfView filled(const Outline& outline, int height, int width) {
    const Extent bounds = extent(outline);
    // OpenCV counts from pixel centres and also draws the pixels an edge passes through.
    const auto drawn = [](float place, float low, float high) {
        const float centre = (low + high) / 2.0f;
        const float half = place > centre ? 0.5f : place < centre ? -0.5f : 0.0f;
        const int sixteenths = round_to_even((place - 0.5f - half) * subpixels);
        return std::int64_t(sixteenths) * ((1 << fixed_bits) / subpixels);
    };
    Rows rows(height, width);
    for (std::size_t i = 0; i < outline.size(); ++i) {
        const auto corner = [&](const Point& point) {
            return Fixed{drawn(point.x, bounds.low.x, bounds.high.x),
                         drawn(point.y, bounds.low.y, bounds.high.y)};
        };
        const Fixed from = corner(outline[i]), to = corner(outline[(i + 1) % outline.size()]);
        mark_edge(rows, from, to);
        mark_side(rows, from, to);
    }
    FieldOfView found{{width, height, 0, 0}, std::vector<Byte>(std::size_t(height) * width, 0)};
    for (int y = 0; y < height; ++y) {
        const int first = rows.first[y], last = rows.last[y];
        if (last < first) continue;
        found.box = {std::min(found.box.x0, first), std::min(found.box.y0, y),
                     std::max(found.box.x1, last + 1), y + 1};
        const auto row = found.mask.begin() + std::ptrdiff_t(y) * width;
        std::fill(row + first, row + last + 1, Byte(1));
    }
    return found;
}

}  // namespace detail

inline FieldOfView find_field_of_view(const Picture& picture) {
    if (std::min(picture.height, picture.width) < detail::smallest_side)
        throw NoFieldOfView("the picture is too small, at least 32 pixels a side are needed");
    const detail::LitPart lit = detail::lit_part(picture);
    detail::refuse_non_pictures(lit.copy, lit.outline);
    return detail::filled(detail::aperture_outline(lit.copy, lit.outline), picture.height,
                          picture.width);
}

inline double saturation(const Picture& picture, const FieldOfView& field_of_view) {
    const Box& box = field_of_view.box;
    const int longer = std::max(box.x1 - box.x0, box.y1 - box.y0);
    const int step = std::max(1, (longer + 127) / 128);
    std::int64_t light = 0, grey = 0;
    for (int y = box.y0; y < box.y1; y += step)
        for (int x = box.x0; x < box.x1; x += step) {
            const std::size_t place = std::size_t(y) * picture.width + x;
            if (!field_of_view.mask[place]) continue;
            const Byte* pixel = picture.rgb + 3 * place;
            light += std::max({pixel[0], pixel[1], pixel[2]});
            grey += std::min({pixel[0], pixel[1], pixel[2]});
        }
    return light ? double(light - grey) / double(light) : 0.0;
}

}  // namespace realmnet
