/* Starts a program on this console, and lets Ctrl-C come to it once a file is there:
 *
 *     ctrl_c PROGRAM FILE ARGUMENT...
 *
 * Ends as the program does, whose arguments may need no quotes. */
#include <stdio.h>
#include <string.h>
#include <windows.h>

/* How often FILE is looked for, and how long the program may take to end after Ctrl-C, in milliseconds. */
#define LOOK_EVERY 5
#define LIMIT 30000

/* Exit statuses of its own. */
#define NOT_DONE 98
#define STILL_THERE 99

/* Ctrl-C comes to every process of the console, this one too. */
static BOOL WINAPI ignore(DWORD event)
{
    (void)event;
    return TRUE;
}

static int failed(const char *what)
{
    fprintf(stderr, "%s: error %lu\n", what, GetLastError());
    return NOT_DONE;
}

int main(int argc, char **argv)
{
    char line[8192] = "";
    STARTUPINFOA startup = { .cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES };
    PROCESS_INFORMATION child;
    DWORD status;

    if (argc < 3)
        return failed("ctrl_c PROGRAM FILE ARGUMENT...");
    strncat(line, argv[1], sizeof line - 1);
    for (int i = 3; i < argc; i++) {
        strncat(line, " ", sizeof line - strlen(line) - 1);
        strncat(line, argv[i], sizeof line - strlen(line) - 1);
    }
    startup.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    startup.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    startup.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    SetConsoleCtrlHandler(ignore, TRUE);
    if (!CreateProcessA(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &child))
        return failed(argv[1]);
    while (GetFileAttributesA(argv[2]) == INVALID_FILE_ATTRIBUTES)
        if (WaitForSingleObject(child.hProcess, LOOK_EVERY) == WAIT_OBJECT_0)
            break;
    if (!GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0))
        return failed("Ctrl-C");
    if (WaitForSingleObject(child.hProcess, LIMIT) != WAIT_OBJECT_0)
        TerminateProcess(child.hProcess, STILL_THERE);
    GetExitCodeProcess(child.hProcess, &status);
    return (int)status;
}
