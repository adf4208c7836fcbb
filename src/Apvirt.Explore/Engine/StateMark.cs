using System.Collections.Concurrent;
using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;

namespace Apvirt.Explore.Engine;

/// <summary>
/// Everything that can be reached from some objects, as it is now, so that it can be brought back: whatever was written since is
/// undone, whoever wrote it and whether or not it was announced. What was made since is forgotten, as nothing leads there.
/// </summary>
/// <remarks>
/// Of each object that can change a copy is kept, and its fields are set to what they were. That costs a few nanoseconds for each
/// object and nothing while executions run; a small host has some hundred. Values that never change are not kept: delegates,
/// strings, immutable collections, objects with nothing but read-only fields. What they lead to is looked at all the same.
/// </remarks>
public sealed class StateMark
{
    private readonly HashSet<object> _seen = new(ReferenceEqualityComparer.Instance);
    private readonly Stack<object> _left = new();
    private readonly List<(object Object, object Copy, Action<object, object> Restore)> _objects = [];
    private readonly List<(Array Array, Array Copy)> _arrays = [];

    /// <summary>Marks the present state.</summary>
    /// <param name="roots">The objects that everything can be reached from.</param>
    /// <param name="outside">Objects that do not belong to the state, and what only they lead to.</param>
    public StateMark(IEnumerable<object> roots, IEnumerable<object> outside)
    {
        _seen.UnionWith(outside);
        foreach (object root in roots)
            Find(root);
        while (_left.TryPop(out object? found))
            Keep(found);
        _seen.Clear();
    }

    /// <summary>Whether marks can be made: copies are set back by code that is made when it is needed.</summary>
    public static bool IsSupported => RuntimeFeature.IsDynamicCodeSupported;

    /// <summary>How many objects are kept, arrays among them.</summary>
    public int Count => _objects.Count + _arrays.Count;

    /// <summary>Brings the state back.</summary>
    public void Restore()
    {
        foreach ((object kept, object copy, Action<object, object> restore) in _objects)
            restore(kept, copy);
        foreach ((Array array, Array copy) in _arrays)
            Array.Copy(copy, array, copy.Length);
    }

    private void Find(object? found)
    {
        if (found is not null && TypeMark.Of(found.GetType()) is { IsOutside: false } && _seen.Add(found))
            _left.Push(found);
    }

    private void Keep(object found)
    {
        TypeMark type = TypeMark.Of(found.GetType());
        if (found is Array array)
        {
            if (array.Length == 0)
                return;
            _arrays.Add((array, (Array)array.Clone()));
            if (!type.LeadsOn)
                return;
            foreach (object? element in array)
                Follow(element, type.Element!);
            return;
        }
        if (type.Restore is { } restore)
            _objects.Add((found, TypeMark.Copy(found), restore));
        foreach (FieldInfo field in type.References)
            Follow(field.GetValue(found), field.FieldType);
    }

    // Into the fields of values, which are in no object of their own.
    private void Follow(object? value, Type declared)
    {
        if (value is null)
            return;
        if (!declared.IsValueType)
        {
            Find(value);
            return;
        }
        TypeMark type = TypeMark.Of(declared);
        if (type.IsImmutableArray)
        {
            // The array never changes; what is in it may.
            foreach (FieldInfo field in type.References)
            {
                if (field.GetValue(value) is Array array && TypeMark.Of(array.GetType()) is { LeadsOn: true } elements)
                {
                    foreach (object? element in array)
                        Follow(element, elements.Element!);
                }
            }
            return;
        }
        foreach (FieldInfo field in type.References)
            Follow(field.GetValue(value), field.FieldType);
    }

    /// <summary>What there is to know of a type; the same for all marks.</summary>
    private sealed class TypeMark
    {
        private static readonly ConcurrentDictionary<Type, TypeMark> Known = new();
        private static readonly MethodInfo MemberwiseCopy = typeof(object).GetMethod("MemberwiseClone", BindingFlags.Instance | BindingFlags.NonPublic)!;
        private static readonly Func<object, object> Clone = MemberwiseCopy.CreateDelegate<Func<object, object>>();

        private TypeMark(Type type)
        {
            Element = type.IsArray ? type.GetElementType() : null;
            LeadsOn = Element is not null && MayLeadOn(Element);
            IsImmutableArray = type.IsGenericType && type.FullName!.StartsWith("System.Collections.Immutable.ImmutableArray`1", StringComparison.Ordinal);
            IsOutside = type == typeof(string) || type.IsPrimitive || type.IsEnum || type.IsPointer || type == typeof(Lock) || type == typeof(Thread)
                || IsOfTheRuntime(type);
            if (IsOutside || type.IsArray)
                return;
            FieldInfo[] fields = [.. FieldsOf(type)];
            References = [.. fields.Where(field => MayLeadOn(field.FieldType))];
            FieldInfo[] written = [.. fields.Where(field => !field.IsInitOnly)];
            if (!type.IsValueType && written.Length > 0 && !IsImmutable(type))
                Restore = MakeRestore(type, written);
        }

        internal Type? Element { get; }

        /// <summary>Whether an array of it leads to other objects.</summary>
        internal bool LeadsOn { get; }

        internal bool IsImmutableArray { get; }

        internal bool IsOutside { get; }

        internal IReadOnlyList<FieldInfo> References { get; } = [];

        /// <summary>Sets the fields of an object to those of a copy; null if none of them ever changes.</summary>
        internal Action<object, object>? Restore { get; }

        internal static TypeMark Of(Type type) => Known.GetOrAdd(type, static added => new TypeMark(added));

        internal static object Copy(object original) => Clone(original);

        // Types, methods and what keeps a collectible assembly alive: the latter holds the static fields of the assembly, which are
        // no part of any host.
        private static bool IsOfTheRuntime(Type type) =>
            typeof(MemberInfo).IsAssignableFrom(type) || typeof(Assembly).IsAssignableFrom(type) || typeof(Module).IsAssignableFrom(type)
            || (type.Assembly == typeof(object).Assembly && type.Namespace?.StartsWith("System.Reflection", StringComparison.Ordinal) == true);

        private static bool IsImmutable(Type type) =>
            typeof(Delegate).IsAssignableFrom(type)
            || type.Namespace is "System.Collections.Immutable" or "System.Collections.Frozen";

        private static bool MayLeadOn(Type type) =>
            type.IsValueType
                ? !type.IsPrimitive && !type.IsEnum && FieldsOf(type).Any(field => field.FieldType != type && MayLeadOn(field.FieldType))
                : !type.IsPointer && type != typeof(string) && type != typeof(Type) && !type.IsByRef;

        private static IEnumerable<FieldInfo> FieldsOf(Type type)
        {
            for (Type? at = type; at is not null && at != typeof(object) && at != typeof(ValueType); at = at.BaseType)
            {
                foreach (FieldInfo field in at.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
                    yield return field;
            }
        }

        private static Action<object, object> MakeRestore(Type type, FieldInfo[] fields)
        {
            DynamicMethod method = new($"Restore {type.Name}", returnType: null, [typeof(object), typeof(object)], typeof(object).Module, skipVisibility: true);
            ILGenerator code = method.GetILGenerator();
            LocalBuilder kept = code.DeclareLocal(type);
            LocalBuilder copy = code.DeclareLocal(type);
            code.Emit(OpCodes.Ldarg_0);
            code.Emit(OpCodes.Castclass, type);
            code.Emit(OpCodes.Stloc, kept);
            code.Emit(OpCodes.Ldarg_1);
            code.Emit(OpCodes.Castclass, type);
            code.Emit(OpCodes.Stloc, copy);
            foreach (FieldInfo field in fields)
            {
                code.Emit(OpCodes.Ldloc, kept);
                code.Emit(OpCodes.Ldloc, copy);
                code.Emit(OpCodes.Ldfld, field);
                code.Emit(OpCodes.Stfld, field);
            }
            code.Emit(OpCodes.Ret);
            return method.CreateDelegate<Action<object, object>>();
        }
    }
}
