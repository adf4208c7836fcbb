using System.Collections.Frozen;

namespace Apvirt.Kernel.Tests.HouseRules;

/// <summary>Each rule finds what breaks it, and lets pass what does not.</summary>
public sealed class BrokenRulesTests
{
    private const string File = "src/Apvirt.Ap/Bus/A.cs";

    [Theory]
    [InlineData("DateTime.Now")]
    [InlineData("DateTime.UtcNow")]
    [InlineData("DateTimeOffset.UtcNow")]
    [InlineData("Stopwatch.StartNew()")]
    [InlineData("Random.Shared.Next()")]
    [InlineData("new Random(1)")]
    [InlineData("Random r = new(1)")]
    [InlineData("Task.Run(f)")]
    [InlineData("Task.Delay(1)")]
    [InlineData("new Thread(f)")]
    [InlineData("Thread.Sleep(1)")]
    [InlineData("Guid.NewGuid()")]
    [InlineData("Environment.TickCount64")]
    [InlineData("t.ConfigureAwait(false)")]
    [InlineData("new AsyncLocal<int>()")]
    [InlineData("[ThreadStatic] int x")]
    [InlineData("ThreadPool.QueueUserWorkItem(f)")]
    [InlineData("TimeProvider.System")]
    public void Ambient_calls_are_found_but_not_in_comments(string code)
    {
        string found = Assert.Single(Rules.Ambient(File, $"string s = \"a // b\";\n{code};"));
        Assert.StartsWith($"{File}(2): ", found, StringComparison.Ordinal);
        Assert.Empty(Rules.Ambient(File, $"// {code}\n/* {code}\n{code} */ /// {code}"));
    }

    [Theory]
    [InlineData("ThreadPool.QueueUserWorkItem(f);", 0)]
    [InlineData("TimeProvider.System", 0)]
    [InlineData("Thread.Sleep(1);", 1)]
    public void The_production_runtime_may_use_two_ambient_things(string code, int found) =>
        Assert.Equal(found, Rules.Ambient(Rules.ProductionRuntime, code).Count());

    [Theory]
    [InlineData("var s = @\"\\\"; // end", "var s = @\"\\\";       ")]
    [InlineData("c = '\"'; // end", "c = '\"';       ")]
    [InlineData("\"\"\"a // \" b\"\"\" // end", "\"\"\"a // \" b\"\"\"       ")]
    [InlineData("a /* b\nc */ d", "a     \n     d")]
    [InlineData("\"http://x\"", "\"http://x\"")]
    public void Comments_are_told_from_text(string text, string code) => Assert.Equal(code, SourceText.WithoutComments(text));

    [Theory]
    [InlineData("Array holds a Int32[], which can change")]
    [InlineData("List holds a List`1, which can change")]
    [InlineData("Set holds a ISet`1, which can change")]
    [InlineData("Lock holds a Lock, which can change")]
    [InlineData("Ours holds a Counter, whose <Value>k__BackingField can be assigned")]
    [InlineData("Assigned can be assigned")]
    [InlineData("<Property>k__BackingField can be assigned")]
    public void A_static_field_that_can_change_is_found(string complaint) =>
        Assert.Contains($"{typeof(Changing).FullName}.{complaint}", StaticState.In([typeof(Changing)]));

    [Fact]
    public void Static_fields_that_cannot_change_pass() => Assert.Empty(StaticState.In([typeof(Unchanging)]));

    [Theory]
    [InlineData("Ap", "../Apvirt.Kvm/Apvirt.Kvm.csproj", 1)]
    [InlineData("Ap", "../Apvirt.Ap/Apvirt.Ap.csproj", 1)]
    [InlineData("Ap", "../../tests/Apvirt.Ap.Tests/Apvirt.Ap.Tests.csproj", 1)]
    [InlineData("Kvm", "../Apvirt.Ap/Apvirt.Ap.csproj", 0)]
    public void Upward_references_are_found(string layer, string reference, int found) =>
        Assert.Equal(found, Rules.References(layer, $"<ProjectReference Include=\"{reference}\" />").Count());

    [Fact]
    public void A_project_outside_the_table_is_found() =>
        Assert.Equal(["src/Apvirt.Other: not in the table of layers"], Rules.UnknownLayers(["Apvirt.Ap", "Apvirt.Other"]));

    [Theory]
    [InlineData("namespace Apvirt.Ap;", 1)]
    [InlineData("namespace Apvirt.Ap\n{\n}", 1)]
    [InlineData("class A;", 1)]
    [InlineData("namespace Apvirt.Ap.Bus;", 0)]
    [InlineData("// no class\n[assembly: CLSCompliant(false)]", 0)]
    public void A_wrong_namespace_is_found(string text, int found) => Assert.Equal(found, Rules.Namespaces(File, text).Count());

    [Theory]
    [InlineData(Rules.LinesMax, 0)]
    [InlineData(Rules.LinesMax + 1, 1)]
    public void A_long_file_is_found(int lines, int found) =>
        Assert.Equal(found, Rules.LongFiles(File, new string('\n', lines)).Count());

    [Theory]
    [InlineData("// TODO later")]
    [InlineData("// FIXME")]
    [InlineData("/* HACK */")]
    [InlineData("throw new NotImplementedException();")]
    public void An_unfinished_mark_is_found(string text) => Assert.Single(Rules.UnfinishedMarks(File, text));

    [Theory]
    [InlineData("see /home/me/apvirt/test", 1)]
    [InlineData("cd /home/me/apvirt", 1)]
    [InlineData("x:/home/me/apvirt-old and a/home/me/apvirt", 0)]
    public void A_machine_path_is_found(string text, int found) =>
        Assert.Equal(found, Rules.MachinePaths("README.md", text, ["/home/me/apvirt"]).Count());

    private sealed class Counter
    {
        internal int Value { get; set; }
    }

    private sealed record Name(string Value);

    private static class Changing
    {
        internal static readonly int[] Array = [];
        internal static readonly List<int> List = [];
        internal static readonly ISet<int> Set = new HashSet<int>();
        internal static readonly Lock Lock = new();
        internal static readonly Counter Ours = new();
        internal static int Assigned = Unchanging.Get;

        internal static int Property { get; set; }
    }

    private static class Unchanging
    {
        internal const int Literal = 1;
        internal static readonly string Text = Literal.ToString();
        internal static readonly IReadOnlyList<int> List = [1];
        internal static readonly FrozenSet<int> Set = FrozenSet<int>.Empty;
        internal static readonly Name Record = new("a");
        internal static readonly Func<int> Lambda = () => Literal;

        internal static int Get => 1;
    }
}
