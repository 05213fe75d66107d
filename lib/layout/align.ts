/** The smallest multiple of `unit` that is at least `value`. */

export const alignUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

/** The largest multiple of `unit` that is at most `value`. */
export const alignDown = (value: number, unit: number): number => Math.floor(value / unit) * unit;
