"""Runs modules of pyserial's own test suite on a port, and prints what became of each test.

usage: program.py FOLDER-OF-THE-SUITE URL MODULE...
Each line is the outcome (passed, failed, skipped), the test's name, and for the latter two the last line of the reason.
"""

import sys
import unittest

folder, url, *modules = sys.argv[1:]
sys.path.insert(0, folder)


class Told(unittest.TestResult):
    def addSuccess(self, test):
        print("passed", test.id())

    def addSkip(self, test, reason):
        print("skipped", test.id(), reason)

    def addFailure(self, test, error):
        print("failed", test.id(), str(error[1]).splitlines()[-1])

    addError = addFailure


for name in modules:
    module = __import__(name)
    module.PORT = url
    unittest.defaultTestLoader.loadTestsFromModule(module).run(Told())
print("done")
