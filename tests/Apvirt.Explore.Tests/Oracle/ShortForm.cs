namespace Apvirt.Explore.Tests.Oracle;

/// <summary>
/// Programs in short: tasks are parted by semicolons, and of an instruction there is a letter and its object. L and U lock
/// and unlock a mutex, or write-lock and write-unlock what some task reads; S and V read-lock and read-unlock; W waits, C
/// completes; r loads, w stores 1.
/// </summary>
internal static class ShortForm
{
    internal static OracleProgram Parse(string text)
    {
        string[][] tasks = [.. text.Split(';').Select(task => task.Split(' ', StringSplitOptions.RemoveEmptyEntries))];
        HashSet<string> read = [.. tasks.SelectMany(task => task).Where(word => word[0] == 'S').Select(word => word[1..])];
        return OracleProgram.Parse(tasks.Select(task => task.Select(word => Long(word[0], word[1..], read))));
    }

    private static string Long(char letter, string name, HashSet<string> read) => letter switch
    {
        'L' => read.Contains(name) ? $"write-lock {name}" : $"lock {name}",
        'U' => read.Contains(name) ? $"write-unlock {name}" : $"unlock {name}",
        'S' => $"read-lock {name}",
        'V' => $"read-unlock {name}",
        'W' => $"wait {name}",
        'C' => $"complete {name}",
        'r' => $"load {name}",
        'w' => $"store {name} 1",
        _ => throw new FormatException($"'{letter}' is no instruction"),
    };
}
