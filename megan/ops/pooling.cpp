// Batch norm, ReLU and 2x2 max-pooling in one: part of native.cpp, which includes it.
//
//     z, dz, uz [T, B, H, W, O]   y, dy [T, B, H / 2, W / 2, O]
//
// The normalised image is never in memory, only its largest pixels. Each kernel finds them again
// from z, with the same arithmetic; of equal ones it takes the first. Below ReLU's zero no
// gradient passes, so the largest is found before ReLU. Pixels of an odd last row or
// column are in no window, but count in the statistics.

struct Images { Int B, H, W, O; };  // of one task

// The pixels of a window, 0 to 3 by row: xhat, the largest y, and where it is, as a number.
template <class V> struct Window {
    V xhat[4], chosen, y, place;  // `chosen`: xhat of the largest
};
template <class F, class V, class At> inline Window<V> window(const At &f, const F *const *z) {
    Window<V> w;
    UNROLL for (int p = 0; p < 4; ++p) {
        w.xhat[p] = f.xhat(load<V>(z[p]));
        const V y = f.y(w.xhat[p]);
        if (p == 0) {
            w.chosen = w.xhat[0], w.y = y, w.place = V{};
        } else {
            const auto larger = (y > w.y) | (y != y);  // NaN is the largest, as in torch
            w.chosen = larger ? w.xhat[p] : w.chosen, w.y = larger ? y : w.y, w.place = larger ? splat<V>(F(p)) : w.place;
        }
    }
    return w;
}
template <class F, class V> inline V at_place(const Window<V> &w, int p, V value) { return w.place == splat<V>(F(p)) ? value : V{}; }

// Calls of_window(pixels, window, o, count) for windows in a row, and of_rest(pixel, o) for what is in none: numbers of
// rows of O channels, for some channels o at a time. A block is at most kStep windows.
template <class F, class Body> void window_blocks(const Images &s, const Body &body) {
    const Int OH = s.H / 2, OW = s.W / 2;
    for (Int b = 0; b < s.B; ++b)
        for (Int r = 0; r < OH; ++r)
            for (Int c = 0; c < OW; c += kStep)
                body((b * s.H + 2 * r) * s.W + 2 * c, (b * OH + r) * OW + c, std::min(kStep, OW - c));
}

// Calls body(first, count) for runs of pixels that are in no window.
template <class Body> void outside_windows(const Images &s, const Body &body) {
    for (Int b = 0; b < s.B; ++b) {
        if (s.W % 2) for (Int r = 0; r < s.H / 2 * 2; ++r) body((b * s.H + r) * s.W + s.W - 1, Int(1));
        if (s.H % 2) for (Int c = 0; c < s.W; c += kStep) body((b * s.H + s.H - 1) * s.W + c, std::min(kStep, s.W - c));
    }
}

template <class F>
void norm_pool(const F *z, const F *gamma, const F *beta, F *y, F *mean, F *rstd, Int T, Int B, Int H, Int W, Int O, double eps) {
    const Int n = B * H * W, pooled = B * (H / 2) * (W / 2);
    for (Int task = 0; task < T; ++task, z += n * O, y += pooled * O, gamma += O, beta += O, mean += O, rstd += O) {
        statistics(z, mean, rstd, n, O, eps);
        const Task<F, true> t{z, mean, rstd, gamma, beta, nullptr, nullptr};
        window_blocks<F>({B, H, W, O}, [&](Int pixel, Int to, Int count) {
            channels<F, 1>(O, [&](auto group, Int o) {
                using V = typename decltype(group)::V;
                const auto f = t.template at<V>(o);
                for (Int i = 0; i < count; ++i) {
                    const F *p = z + (pixel + 2 * i) * O + o, *const four[] = {p, p + O, p + W * O, p + (W + 1) * O};
                    const auto w = window<F, V>(f, four);
                    store(y + (to + i) * O + o, masked<true, V>(w.y, w.y));
                }
            });
        });
    }
}

// As `gradient_means`, with da zero but for the largest pixel of each window, where it is dy.
template <class F, bool second>
void pooled_means(const Task<F, true> &t, const Images &s, double *means, F *part) {
    constexpr int S = second ? 5 : 2;
    const Int O = s.O, W = s.W, n = s.B * s.H * s.W;
    std::fill(means, means + S * O, 0.0);
    std::fill(part, part + S * O, F(0));
    Int rows = 0;  // since part was last added up
    const auto add_up = [&] {
        for (Int k = 0; k < S * O; ++k) means[k] += double(part[k]);
        std::fill(part, part + S * O, F(0));
        rows = 0;
    };
    window_blocks<F>(s, [&](Int pixel, Int from, Int count) {
        channels<F, 1>(O, [&](auto group, Int o) {
            using V = typename decltype(group)::V;
            const auto f = t.template at<V>(o);
            V sum[S];
            UNROLL for (int k = 0; k < S; ++k) sum[k] = load<V>(part + k * O + o);
            for (Int i = 0; i < count; ++i) {
                const Int at = (pixel + 2 * i) * O + o;
                const F *p = t.z + at, *const four[] = {p, p + O, p + W * O, p + (W + 1) * O};
                const auto w = window<F, V>(f, four);
                const V g = masked<true, V>(w.y, load<V>(t.da + (from + i) * O + o));
                sum[0] += g, sum[1] += g * w.chosen;
                if constexpr (second) {
                    const F *q = t.uz + at, *const uz[] = {q, q + O, q + W * O, q + (W + 1) * O};
                    V at_chosen{};
                    UNROLL for (int k = 0; k < 4; ++k) {
                        const V u = load<V>(uz[k]);
                        sum[2] += u, sum[3] += u * w.xhat[k];
                        at_chosen += at_place<F>(w, k, u);
                    }
                    sum[4] += at_chosen * g;
                }
            }
            UNROLL for (int k = 0; k < S; ++k) store(part + k * O + o, sum[k]);
        });
        if ((rows += 4 * count) >= kBlock) add_up();
    });
    if constexpr (second)
        outside_windows(s, [&](Int pixel, Int count) {
            channels<F, 1>(O, [&](auto group, Int o) {
                using V = typename decltype(group)::V;
                const auto f = t.template at<V>(o);
                V uz = load<V>(part + 2 * O + o), uz_xhat = load<V>(part + 3 * O + o);
                for (Int i = pixel; i < pixel + count; ++i) {
                    const V u = load<V>(t.uz + i * O + o);
                    uz += u, uz_xhat += u * f.xhat(load<V>(t.z + i * O + o));
                }
                store(part + 2 * O + o, uz), store(part + 3 * O + o, uz_xhat);
            });
            if ((rows += count) >= kBlock) add_up();
        });
    add_up();
    for (Int k = 0; k < S * O; ++k) means[k] /= double(n);
}

// As `norm_grad`, of dy.
template <class F>
void norm_pool_grad(const F *z, const F *mean, const F *rstd, const F *gamma, const F *beta, const F *dy,
                    F *dz, F *dgamma, F *dbeta, Int T, Int B, Int H, Int W, Int O) {
    const Images s{B, H, W, O};
    const Int n = B * H * W, pooled = B * (H / 2) * (W / 2);
    double *means = scratch<kStats, double>(2 * O);
    F *part = scratch<kRows, F>(3 * O);
    for (Int task = 0; task < T; ++task, dz += n * O) {
        const Task<F, true> t{z + task * n * O, mean + task * O, rstd + task * O, gamma + task * O, beta + task * O, dy + task * pooled * O, nullptr};
        pooled_means<F, false>(t, s, means, part);
        first_coefficients(t, n, O, means, part, dgamma + task * O, dbeta + task * O);
        window_blocks<F>(s, [&](Int pixel, Int from, Int count) {
            channels<F, 1>(O, [&](auto group, Int o) {
                using V = typename decltype(group)::V;
                const auto f = t.template at<V>(o);
                const V of_g = load<V>(part + o), of_xhat = load<V>(part + O + o), of_one = load<V>(part + 2 * O + o);
                for (Int i = 0; i < count; ++i) {
                    const Int at = (pixel + 2 * i) * O + o;
                    const F *p = t.z + at, *const four[] = {p, p + O, p + W * O, p + (W + 1) * O};
                    const auto w = window<F, V>(f, four);
                    const V g = of_g * masked<true, V>(w.y, load<V>(t.da + (from + i) * O + o));
                    F *q = dz + at, *const to[] = {q, q + O, q + W * O, q + (W + 1) * O};
                    UNROLL for (int k = 0; k < 4; ++k) store(to[k], V(at_place<F>(w, k, g) + (of_xhat * w.xhat[k] + of_one)));
                }
            });
        });
        outside_windows(s, [&](Int pixel, Int count) {
            channels<F, 1>(O, [&](auto group, Int o) {
                using V = typename decltype(group)::V;
                const auto f = t.template at<V>(o);
                const V of_xhat = load<V>(part + O + o), of_one = load<V>(part + 2 * O + o);
                for (Int i = pixel; i < pixel + count; ++i)
                    store(dz + i * O + o, V(of_xhat * f.xhat(load<V>(t.z + i * O + o)) + of_one));
            });
        });
    }
}

// As `norm_grad_grad`, with dy for da: grad_dy is grad_da at the largest pixel of each window.
template <class F>
void norm_pool_grad_grad(const F *z, const F *mean, const F *rstd, const F *gamma, const F *beta, const F *dy,
                         const F *uz, const F *ug, const F *ub, F *grad_z, F *grad_gamma, F *grad_dy,
                         Int T, Int B, Int H, Int W, Int O) {
    const Images s{B, H, W, O};
    const Int n = B * H * W, pooled = B * (H / 2) * (W / 2);
    double *means = scratch<kStats, double>(5 * O);
    F *part = scratch<kRows, F>(7 * O), *zeros = uz ? nullptr : scratch<kZero, F>(n * O);
    if (!uz) std::fill(zeros, zeros + n * O, F(0));
    for (Int task = 0; task < T; ++task, grad_z += n * O, grad_dy += pooled * O) {
        const Task<F, true> t{z + task * n * O, mean + task * O, rstd + task * O, gamma + task * O, beta + task * O,
                              dy + task * pooled * O, uz ? uz + task * n * O : zeros};
        pooled_means<F, true>(t, s, means, part);
        second_coefficients(t, n, O, means, part, ug ? ug + task * O : nullptr, ub ? ub + task * O : nullptr, grad_gamma + task * O);
        window_blocks<F>(s, [&](Int pixel, Int from, Int count) {
            channels<F, 1>(O, [&](auto group, Int o) {
                using V = typename decltype(group)::V;
                const auto f = t.template at<V>(o);
                V k[7];
                UNROLL for (int j = 0; j < 7; ++j) k[j] = load<V>(part + j * O + o);
                for (Int i = 0; i < count; ++i) {
                    const Int at = (pixel + 2 * i) * O + o;
                    const F *p = t.z + at, *const four[] = {p, p + O, p + W * O, p + (W + 1) * O};
                    const F *q = t.uz + at, *const uz_at[] = {q, q + O, q + W * O, q + (W + 1) * O};
                    F *to = grad_z + at, *const to_z[] = {to, to + O, to + W * O, to + (W + 1) * O};
                    const auto w = window<F, V>(f, four);
                    const V g = k[1] * masked<true, V>(w.y, load<V>(t.da + (from + i) * O + o));
                    V at_chosen{};
                    UNROLL for (int j = 0; j < 4; ++j) {
                        const V u = load<V>(uz_at[j]);
                        store(to_z[j], V(k[0] * u + at_place<F>(w, j, g) + (k[2] * w.xhat[j] + k[3])));
                        at_chosen += at_place<F>(w, j, u);
                    }
                    store(grad_dy + (from + i) * O + o, masked<true, V>(w.y, V(k[4] * at_chosen + (k[5] * w.chosen + k[6]))));
                }
            });
        });
        outside_windows(s, [&](Int pixel, Int count) {
            channels<F, 1>(O, [&](auto group, Int o) {
                using V = typename decltype(group)::V;
                const auto f = t.template at<V>(o);
                const V of_uz = load<V>(part + o), of_xhat = load<V>(part + 2 * O + o), of_one = load<V>(part + 3 * O + o);
                for (Int i = pixel; i < pixel + count; ++i)
                    store(grad_z + i * O + o, V(of_uz * load<V>(t.uz + i * O + o) + (of_xhat * f.xhat(load<V>(t.z + i * O + o)) + of_one)));
            });
        });
    }
}

// The C interface, for the end of native.cpp.
#define MEGAN_EXPORT_POOLED(F, name)                                                                                   \
    extern "C" int norm_pool_##name(const F *z, const F *gamma, const F *beta, F *y, F *mean, F *rstd, Int T, Int B,   \
                                    Int H, Int W, Int O, double eps) {                                                 \
        return guarded([=] { norm_pool<F>(z, gamma, beta, y, mean, rstd, T, B, H, W, O, eps); });                      \
    }                                                                                                                  \
    extern "C" int norm_pool_grad_##name(const F *z, const F *mean, const F *rstd, const F *gamma, const F *beta,      \
                                         const F *dy, F *dz, F *dgamma, F *dbeta, Int T, Int B, Int H, Int W, Int O) { \
        return guarded([=] { norm_pool_grad<F>(z, mean, rstd, gamma, beta, dy, dz, dgamma, dbeta, T, B, H, W, O); });  \
    }                                                                                                                  \
    extern "C" int norm_pool_grad_grad_##name(const F *z, const F *mean, const F *rstd, const F *gamma, const F *beta, \
                                              const F *dy, const F *uz, const F *ug, const F *ub, F *grad_z,           \
                                              F *grad_gamma, F *grad_dy, Int T, Int B, Int H, Int W, Int O) {          \
        return guarded([=] {                                                                                           \
            norm_pool_grad_grad<F>(z, mean, rstd, gamma, beta, dy, uz, ug, ub, grad_z, grad_gamma, grad_dy,            \
                                   T, B, H, W, O);                                                                     \
        });                                                                                                            \
    }
