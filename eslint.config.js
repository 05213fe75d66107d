/**
 * The rules of the code that a machine can check; those of layout are prettier's.
 *
 * Here: types, style, and that records are declared in lib/layout/ instead of being read byte by
 * byte. What may import what is in .dependency-cruiser.mjs.
 */
import eslint from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

const NAMED_ONLY = {
  selector: 'ExportDefaultDeclaration',
  message: 'Named exports only.',
};
const NO_BARREL = {
  selector: ':matches(ExportAllDeclaration, ExportNamedDeclaration[source])',
  message: 'No re-export: import from where it is.',
};
const ERASABLE = [
  { selector: 'TSEnumDeclaration', message: 'No enum: a table `as const`.' },
  { selector: 'TSModuleDeclaration[kind="namespace"]', message: 'No namespace.' },
  { selector: 'TSParameterProperty', message: 'No parameter properties.' },
];
/** readUInt32LE(), writeBigUInt64LE(), readIntBE(), DataView's getUint32() and so on. */
const RAW_INTEGERS = {
  selector:
    'CallExpression > MemberExpression[property.name=/^(read|write|get|set)(Big)?U?[Ii]nt(8|16|32|64)?(LE|BE)?$/]',
  message:
    'Declare a record in lib/layout/: integers are read and written in lib/layout/struct.ts only.',
};
/** `'constructor' in {}` is true, so a name from outside must not be looked up like that. */
const NO_IN = {
  selector: 'BinaryExpression[operator="in"][left.type="Identifier"]',
  message: 'Object.hasOwn() or a Map: `in` finds what every object inherits.',
};
/** A file that somebody names may be a device, or have no end. */
const WHOLE_FILE = {
  selector:
    'CallExpression:matches([callee.name=/^readFile(Sync)?$/], [callee.property.name="readFileSync"])',
  message:
    'readSmallFile(), which has a limit; this is for files of the system and of the package.',
};
const STYLE = [NAMED_ONLY, NO_BARREL, NO_IN, ...ERASABLE];

/** What scripts may use without importing it. */
const NODE = Object.fromEntries(
  ['Buffer', 'URL', 'clearInterval', 'performance', 'process', 'setInterval'].map(name => [
    name,
    'readonly',
  ]),
);

export default defineConfig(
  { ignores: ['dist/', 'node_modules/', '.tap/', 'demo/', 'assembly/*.ts', 'test/fixtures/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      // `typeof import('x')` types a package that may not be installed
      '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
      '@typescript-eslint/consistent-type-exports': 'error',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true },
      ],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // `!` is how the code says what an index check has settled (noUncheckedIndexedAccess)
      '@typescript-eslint/no-non-null-assertion': 'off',
      // arrow functions of one expression, and `done()` as one, are the house's style
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-meaningless-void-operator': 'off',
      '@typescript-eslint/no-invalid-void-type': 'off',
      // types do not know that a stream may be destroyed meanwhile, or what Node leaves undefined
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/no-unnecessary-boolean-literal-compare': 'off',
      // what is async by its interface, so that a throw becomes a rejection
      '@typescript-eslint/require-await': 'off',
      // names are bytes in latin1 strings here: one character, one code unit
      '@typescript-eslint/no-misused-spread': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/consistent-type-definitions': 'off',
      '@typescript-eslint/consistent-indexed-object-style': 'off',
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      '@typescript-eslint/prefer-for-of': 'off', // inner loops over bytes
      '@typescript-eslint/prefer-nullish-coalescing': 'off',
      'no-restricted-syntax': ['error', ...STYLE, RAW_INTEGERS],
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
    },
  },
  {
    files: ['{bin,lib,streams}/**/*.ts'],
    rules: { 'max-lines': ['error', 400] },
  },
  {
    files: ['{bin,streams}/**/*.ts'],
    // files of the package, of the system, and of the program's own
    ignores: [
      'bin/{code-cache,version}.ts',
      'bin/commands/{unpack,chunkdict/database-lock}.ts',
      'streams/{files/process-mark,report/page}.ts',
    ],
    rules: { 'no-restricted-syntax': ['error', ...STYLE, RAW_INTEGERS, WHOLE_FILE] },
  },
  {
    // what a package imports: the one place where names are passed on
    files: ['streams/{index,stages}.ts', 'lib/formats.ts'],
    rules: { 'no-restricted-syntax': ['error', NAMED_ONLY, NO_IN, ...ERASABLE] },
  },
  {
    files: ['lib/layout/struct.ts'],
    rules: {
      'no-restricted-syntax': ['error', ...STYLE],
      '@typescript-eslint/no-explicit-any': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
  {
    // what checks the records must not read them with the records
    files: ['test/**/*.ts', 'benchmarks/**/*.ts'],
    rules: {
      'no-restricted-syntax': ['error', ...STYLE],
      // t.test() at the top of a file is not awaited: tap waits
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: '@tapjs/core', name: ['test'] },
            { from: 'package', package: '@tapjs/test', name: ['test'] },
          ],
        },
      ],
      'no-regex-spaces': 'off',
    },
  },
  {
    files: ['**/*.js', '**/*.mjs'],
    languageOptions: { globals: NODE },
  },
);
