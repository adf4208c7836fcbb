using System.Collections.Frozen;
using System.Text;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Kernel.Tests.HouseRules;

/// <summary>The rule of shared state finds what breaks it, and lets pass what does not.</summary>
public sealed class BrokenSharedStateTests
{
    [Theory]
    [InlineData("_assigned can be assigned")]
    [InlineData("Property can be assigned")]
    [InlineData("Changed can be assigned")]
    [InlineData("<parameter>P can be assigned")]
    [InlineData("<list>P holds a List`1, which can change")]
    [InlineData("_array holds a Int32[], which can change")]
    [InlineData("_list holds a List`1, which can change")]
    [InlineData("Map holds a Dictionary`2, which can change")]
    [InlineData("_text holds a StringBuilder, which can change")]
    [InlineData("_lock holds a Lock, which can change")]
    [InlineData("_source holds a TaskCompletionSource`1, which can change")]
    [InlineData("_readOnlyWord is a form but readonly")]
    [InlineData("Word is a form but a property")]
    public void A_field_without_a_form_is_found(string complaint)
    {
        string found = Assert.Single(SharedStateRule.Formless([typeof(Formless)]), c => c.StartsWith($"{typeof(Formless).FullName}.{complaint}", StringComparison.Ordinal));
        Assert.True(found.EndsWith(SharedStateRule.Forms, StringComparison.Ordinal) || complaint.Contains("is a form but", StringComparison.Ordinal));
    }

    [Fact]
    public void A_field_of_a_structure_is_found() => Assert.Single(SharedStateRule.Formless([typeof(Pair)]));

    [Fact]
    public void Fields_of_the_forms_and_of_one_task_pass() =>
        Assert.Empty(SharedStateRule.Formless([typeof(Formed), typeof(Owned), typeof(Walker), typeof(Kind), typeof(Change), .. typeof(Formed).GetNestedTypes(System.Reflection.BindingFlags.NonPublic)]));

    [Theory]
    [InlineData("_time", "TimeSpan")]
    [InlineData("_maybe", "Nullable`1")]
    [InlineData("_large", "Decimal")]
    [InlineData("_many", "Guid")]
    [InlineData("_any", "T")]
    public void A_shared_word_of_more_than_a_word_is_found(string field, string type) =>
        Assert.StartsWith(
            $"{typeof(Torn<>).FullName}.{field} is a Shared<{type}>",
            Assert.Single(SharedStateRule.TornWords([typeof(Torn<>)]), c => c.Contains($".{field} ", StringComparison.Ordinal)),
            StringComparison.Ordinal);

    [Fact]
    public void Words_pass() => Assert.Empty(SharedStateRule.TornWords([typeof(Words<>)]));

    [Theory]
    [InlineData("_gate is a Lock")]
    [InlineData("_flag is volatile")]
    [InlineData("Count uses System.Threading.Interlocked")]
    [InlineData("Read uses System.Threading.Volatile")]
    [InlineData("Locked uses System.Threading.Lock")]
    [InlineData("Monitored uses System.Threading.Monitor")]
    [InlineData("add_Event uses System.Threading.Interlocked")]
    public void Synchronising_past_the_forms_is_found(string complaint) =>
        Assert.Single(SharedStateRule.Bypasses([typeof(Bypassing)]), c => c.StartsWith($"{typeof(Bypassing).FullName}.{complaint}", StringComparison.Ordinal));

    [Fact]
    public void Synchronising_in_a_lambda_is_found() =>
        Assert.Contains(
            SharedStateRule.Bypasses(typeof(Bypassing).GetNestedTypes(System.Reflection.BindingFlags.NonPublic)),
            c => c.Contains("Interlocked", StringComparison.Ordinal));

    [Fact]
    public void What_uses_the_forms_passes() => Assert.Empty(SharedStateRule.Bypasses([typeof(Formed)]));

    [Fact]
    public void A_descriptor_outside_the_tables_and_a_name_used_twice_are_found()
    {
        Assert.Equal(
            [$"{typeof(Formed).FullName}.Stray is in no table: it belongs to All of a class …Fields", "twice: 2 fields have this name"],
            SharedStateRule.Undocumented([typeof(Formed), typeof(SomeFields)]));
    }

    private enum Kind
    {
        One,
    }

    private delegate void Change();

#pragma warning disable MA0143, CS0414, CS0169, CS0649, CS0067, CS9124, IDE0044, IDE0051, IDE0052, CA1823, CA1822, S1144, CS8618
    private sealed class Formless(int parameter, List<int> list)
    {
        private readonly int[] _array = [];
        private readonly List<int> _list = [];
        private readonly StringBuilder _text = new();
        private readonly Lock _lock = new();
        private readonly TaskCompletionSource<int> _source = new();
        private readonly Shared<int> _readOnlyWord;
        private int _assigned;

        internal int Property { get; set; }

        internal event Change? Changed;

        internal Dictionary<int, int> Map { get; } = [];

        internal Shared<int> Word { get; set; }

        internal int Next() => ++parameter + list.Count;
    }

    private struct Pair
    {
        internal int First;
        internal readonly int Second;
    }

    private sealed class Formed(int parameter, Func<int> function)
    {
        private static readonly SharedField Stray = new("stray", "it is an example");

        private readonly string _text = "";
        private readonly IReadOnlyList<int> _list = [];
        private readonly FrozenSet<int> _set = FrozenSet<int>.Empty;
        private readonly Shared<int>[] _words = new Shared<int>[2];
        private readonly SharedTable<string> _table = new("example", Stray, 1);
        private Shared<int> _word;
        private Guarded<List<int>> _guarded;
        private RefCount _count;

        [OwnedBy("The test.")]
        private int _owned;

        [OwnedBy("The test.")]
        internal int OwnedProperty { get; set; }

        internal int Init { get; init; }

        internal Func<int> Sum(int more) => () => more + parameter + function() + _list.Count;

        internal async Task<int> LaterAsync()
        {
            int before = parameter;
            await Task.Yield();
            return before;
        }

        internal IEnumerable<int> Walk()
        {
            for (int i = 0; i < parameter; i++)
                yield return i;
        }
    }

    [OwnedBy("The test.")]
    private sealed class Owned
    {
        private int _value;
    }

    private ref struct Walker
    {
        private int _at;
    }

    private sealed class Torn<T>
    {
        private Shared<TimeSpan> _time;
        private Shared<int?> _maybe;
        private Shared<decimal> _large;
        private Shared<Guid>[] _many;
        private Shared<T> _any;
    }

    private sealed class Words<T>
        where T : class
    {
        private Shared<T> _any;
        private Shared<string?> _reference;
        private Shared<Kind> _enumeration;
        private Shared<bool>[] _truths;
        private Shared<ulong> _number;
        private Shared<double> _fraction;
    }

    private sealed class Bypassing
    {
        private readonly Lock _gate = new();
        private readonly object _plain = new();
        private volatile bool _flag;
        private int _count;

        internal event Change? Event;

        internal int Count() => Interlocked.Increment(ref _count);

        internal int Read() => Volatile.Read(ref _count);

        internal void Locked()
        {
            lock (_gate)
                _count++;
        }

        internal void Monitored()
        {
            lock (_plain)
                _count++;
        }

        internal Func<int> Later() => () => Interlocked.Increment(ref _count) + (_flag ? 1 : 0);

        internal Func<int> Later(int by)
        {
            int sum = by;
            return () => Interlocked.Add(ref sum, by);
        }
    }

    private static class SomeFields
    {
        private static SharedField One { get; } = new("twice", "it is an example");

        private static SharedField Two { get; } = new("twice", "it is an example");

        internal static IReadOnlyList<SharedField> All { get; } = [One, Two];
    }
#pragma warning restore
}
